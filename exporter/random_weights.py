"""Models with random weights: an architecture's speed and size without its checkpoint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coopdraw.exporter.checkpoints.load import Checkpoint, CheckpointKind, merged_config
from coopdraw.exporter.models.build import CellKind, build_cell, parameter_types
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import Weight

_CELLS: Mapping[CheckpointKind, tuple[CellKind, ...]] = {
    "unet": ("unet",),
    "vae": ("vae_encoder", "vae_decoder"),
    "controlnet": ("control_hint", "controlnet"),
    "t2i_adapter": ("t2i_adapter",),
    "words": ("words",),
}
_SPREAD = 0.02


@dataclass(frozen=True)
class RandomWeight(Weight):
    """Normal numbers that depend on nothing but `name`: matrices keep the scale of what they multiply, scales of
    normalisations are near 1, biases near 0.
    """

    name: str
    type: TensorType

    def read(self) -> np.ndarray:
        generator = np.random.default_rng(int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "little"))
        numbers = generator.standard_normal(self.type.shape, np.float32)
        if len(self.type.shape) > 1:
            numbers *= np.float32(1.0 / math.sqrt(math.prod(self.type.shape[1:])))
        else:
            numbers *= np.float32(_SPREAD)
            numbers += np.float32(self.name.endswith(".gamma"))
        return numbers.astype(self.type.dtype.numpy, copy=False)


def open_random(model: str, kind: CheckpointKind, config: Mapping[str, Any]) -> Checkpoint:
    """A model of that kind with random weights, others for each name of a model.

    `config` must give every field that has no default. Raises ConfigurationError for fields that are unknown,
    missing or contradict each other.
    """
    built = merged_config(kind, {}, config)
    types = {name: type for cell in _CELLS[kind] for name, type in parameter_types(build_cell(cell, built)).items()}
    return Checkpoint(built, {name: RandomWeight(f"{model}.{name}", type) for name, type in types.items()})
