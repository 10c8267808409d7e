"""The trained shapes models and their goldens, for tests of Cells and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.exporter.checkpoints.load import match, open_checkpoint
from coopdraw.exporter.models.build import CellKind, build_cell, load_eagerly, parameter_types
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.interpreter import run as interpret
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import Weight

REPOSITORY = Path(__file__).resolve().parents[3]
WEIGHTS = REPOSITORY / "examples" / "shapes" / "weights"
DATA = REPOSITORY / "tests" / "data"

_KINDS = {
    "unet": "unet",
    "unet_controlled": "unet",
    "control_hint": "controlnet",
    "controlnet": "controlnet",
    "t2i_adapter": "t2i_adapter",
    "vae_encoder": "vae",
    "vae_decoder": "vae",
    "words": "words",
}


def golden(name: str) -> dict[str, np.ndarray]:
    """What an independent PyTorch implementation gave: `in:<name>` and `out:<name>`."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def opened_cell(
    path: Path, kind: CellKind, overrides: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Weight]]:
    """A Cell without data, and its weights from a checkpoint."""
    checkpoint = open_checkpoint(path, _KINDS[kind], overrides)  # type: ignore[arg-type]
    cell = build_cell(kind, checkpoint.config)
    return cell, match(checkpoint.weights, parameter_types(cell), path.name)


def loaded_cell(path: Path, kind: CellKind, overrides: Mapping[str, Any] | None = None) -> Any:
    """A Cell filled from a checkpoint."""
    return load_eagerly(*opened_cell(path, kind, overrides))


def run(cell: Any, *inputs: np.ndarray) -> np.ndarray:
    """One eager run of a Cell with one output."""
    return run_all(cell, *inputs)[0]


def run_all(cell: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    """One eager run."""
    from mindspore import Tensor

    outputs = cell(*(Tensor(array) for array in inputs))
    return [np.asarray(output.asnumpy()) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def run_trace(cell: Any, weights: Mapping[str, Weight], outputs: int, *inputs: np.ndarray) -> list[np.ndarray]:
    """The traced Cell, which needs no data, on the interpreter."""
    feeds = {f"input.{index}": array for index, array in enumerate(inputs)}
    types = {name: TensorType(DType(str(array.dtype)), array.shape) for name, array in feeds.items()}
    module = trace(cell, "cell", types, [f"output.{index}" for index in range(outputs)], weights)
    return list(interpret(module, feeds).values())


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest error as a part of the range of `wanted`."""
    return float(np.abs(found - wanted).max() / (wanted.max() - wanted.min()))
