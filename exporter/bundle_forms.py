"""Writes a program for other runtimes than MindSpore, beside the graph in its bundle and with the same weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.lite.writer import write_lite
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.onnx.form import ONNXRUNTIME
from coopdraw.graphs.onnx.writer import StoredWeights, write_onnx
from coopdraw.runtime.manifest import Form

LITE, ONNX = "lite", "onnx"


@dataclass(frozen=True)
class Written:
    """A program with the bundle's file of it: its stem, and where `write_mindir` put its weights."""

    stem: str
    module: Module
    placements: Mapping[str, Placement]


def write_forms(
    folder: Path, names: Collection[str], program: Written, text_encoder: Written | None
) -> dict[str, Form]:
    """The forms of `names` (`lite`, `onnx`) in the bundle `folder`, whose weights are used as they are.

    Raises MindirError or OnnxError, which name the node, for what a runtime can't compute.
    """
    writers = {LITE: _write_lite, ONNX: _write_onnx}
    return {
        name: Form(
            writers[name](folder, program), None if text_encoder is None else writers[name](folder, text_encoder)
        )
        for name in sorted(names)
    }


def _write_lite(folder: Path, written: Written) -> str:
    path = folder / LITE / f"{written.stem}.json"
    path.parent.mkdir(exist_ok=True)
    write_lite(written.module, path, written.placements, folder)
    return path.relative_to(folder).as_posix()


def _write_onnx(folder: Path, written: Written) -> str:
    # ONNX takes no data from outside the model's folder, and none that has two names: so it lies where its weights are.
    path = folder / f"{written.stem}.onnx"
    write_onnx(written.module, path, ONNXRUNTIME, StoredWeights(folder, written.placements))
    return path.name
