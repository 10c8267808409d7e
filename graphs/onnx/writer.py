"""Writes a Module as ONNX: one protobuf file, weights in data files beside it, the same bytes every time."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from coopdraw.graphs.errors import OnnxError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.variables import Placement, write_variables
from coopdraw.graphs.onnx.form import PORTABLE, OnnxForm
from coopdraw.graphs.onnx.model import build_model

_BLOCK = 1 << 20
_NO_RANGES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that can't copy ranges."""


@dataclass(frozen=True)
class StoredWeights:
    """Weights that another form of the program has on disk: the folder it was written to, and where they lie in it."""

    folder: Path
    placements: Mapping[str, Placement]


def write_onnx(
    module: Module, path: Path, form: OnnxForm = PORTABLE, stored: StoredWeights | None = None
) -> dict[str, Placement]:
    """Writes `path` and, for weights, the folder `<stem>_variables` beside it; returns where each weight went.

    With `stored`, which must have every weight of the module, its data files are used: as they are if they lie below
    the folder of `path`, else as copies, since ONNX takes no data from outside that folder and its checker refuses
    links. Raises OnnxError for a node that has no ONNX form or if the package onnx is missing, OSError where the disk
    refuses.
    """
    folder = f"{path.stem}_variables"
    if stored is None:
        placements = write_variables(module.weights, path.parent, folder)
    else:
        placements = _reuse(module, stored, path.parent, folder)
    path.write_bytes(build_model(module, placements, form).SerializeToString(deterministic=True))
    return placements


def _reuse(module: Module, stored: StoredWeights, parent: Path, folder: str) -> dict[str, Placement]:
    """Where the weights of `stored` are for a model in `parent`; files from elsewhere are copied to `parent/folder`."""
    missing = sorted(module.weights.keys() - stored.placements.keys())
    if missing:
        raise OnnxError(f"{stored.folder} doesn't have the weight {missing[0]}; write the weights anew")
    places = {name: stored.placements[name] for name in sorted(module.weights)}
    if stored.folder.resolve() == parent.resolve():
        return places
    locations = {}
    for location in sorted({place.location for place in places.values()}):
        locations[location] = f"{folder}/{Path(location).name}"
        (parent / folder).mkdir(exist_ok=True)
        _copy(stored.folder / location, parent / locations[location])
    return {name: replace(place, location=locations[place.location]) for name, place in places.items()}


def _copy(source: Path, target: Path) -> None:
    """A copy that shares its blocks with the original where the file system can do that."""
    with source.open("rb") as reader, target.open("xb") as writer:
        left = os.fstat(reader.fileno()).st_size
        try:
            while left and (count := os.copy_file_range(reader.fileno(), writer.fileno(), left)):
                left -= count
        except OSError as error:
            if error.errno not in _NO_RANGES:
                raise
        shutil.copyfileobj(reader, writer, _BLOCK)
