"""The trained shapes models and their goldens, for tests of Cells and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.exporter.checkpoints.load import match, open_checkpoint
from coopdraw.exporter.models.build import CellKind, build_cell, load_eagerly, parameter_types

REPOSITORY = Path(__file__).resolve().parents[3]
WEIGHTS = REPOSITORY / "examples" / "shapes" / "weights"
DATA = REPOSITORY / "tests" / "data"

_KINDS = {"unet": "unet", "vae_encoder": "vae", "vae_decoder": "vae", "words": "words"}


def golden(name: str) -> dict[str, np.ndarray]:
    """What an independent PyTorch implementation gave: `in:<name>` and `out:<name>`."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def loaded_cell(path: Path, kind: CellKind, overrides: Mapping[str, Any] | None = None) -> Any:
    """A Cell filled from a checkpoint."""
    checkpoint = open_checkpoint(path, _KINDS[kind], overrides)  # type: ignore[arg-type]
    cell = build_cell(kind, checkpoint.config)
    return load_eagerly(cell, match(checkpoint.weights, parameter_types(cell), path.name))


def run(cell: Any, *inputs: np.ndarray) -> np.ndarray:
    """One eager run."""
    from mindspore import Tensor

    return np.asarray(cell(*(Tensor(array) for array in inputs)).asnumpy())


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest error as a part of the range of `wanted`."""
    return float(np.abs(found - wanted).max() / (wanted.max() - wanted.min()))
