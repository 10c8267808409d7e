"""The networks' own weights inside a bundle, where passes have left others: stored once, as themselves or as rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from coopdraw.exporter.checkpoints.safetensors import open_safetensors
from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.weights import ConcatenatedWeight, FileWeight, Weight
from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.strict_json import Fields, parse_json

WEIGHTS_FILE, ROWS_FILE = "reference/weights.safetensors", "reference/rows.json"


def write_reference(traced: Mapping[str, Weight], left: Mapping[str, Weight], folder: Path) -> None:
    """Writes what of `traced` the graph's weights `left` don't have: where merged weights hold it, else its bytes."""
    merged = {
        name: {"weight": whole, "begin": begin, "end": end}
        for whole, weight in left.items()
        if isinstance(weight, ConcatenatedWeight)
        for name, (begin, end) in weight.rows().items()
    }
    lost = [name for name in traced if name not in left]
    rows = {name: merged[name] for name in lost if name in merged}
    stored = {name: np.ascontiguousarray(traced[name].read()) for name in lost if name not in rows}
    if lost:
        (folder / WEIGHTS_FILE).parent.mkdir()
    if stored:
        save_file(stored, folder / WEIGHTS_FILE)
    if rows:
        (folder / ROWS_FILE).write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_reference(folder: Path, left: Mapping[str, Weight]) -> dict[str, Weight]:
    """What `write_reference` wrote; raises BundleError for rows of weights that the graph doesn't have."""
    found: dict[str, Weight] = {}
    if (folder / WEIGHTS_FILE).is_file():
        found |= open_safetensors(folder / WEIGHTS_FILE)
    if (folder / ROWS_FILE).is_file():
        rows = Fields({"rows": parse_json((folder / ROWS_FILE).read_text(encoding="utf-8"), ROWS_FILE)}, ROWS_FILE)
        places = rows.each_named("rows", _read_place)
        found |= {name: _rows_of(left, name, *place) for name, place in places.items()}
    return found


def _read_place(fields: Fields) -> tuple[str, int, int]:
    place = fields.text("weight"), fields.integer("begin", 0), fields.integer("end", 1)
    fields.finish()
    return place


def _rows_of(left: Mapping[str, Weight], name: str, whole: str, begin: int, end: int) -> FileWeight:
    weight = left.get(whole)
    if not isinstance(weight, FileWeight):
        raise BundleError(f"{ROWS_FILE}: {name} is said to lie in {whole}, which the graph doesn't have; compile again")
    try:
        return weight.rows(begin, end)
    except WeightError as error:
        raise BundleError(f"{ROWS_FILE}: {name} is said to lie in {whole}: {error}; compile again") from error
