"""Merges LoRA files into a UNet's weights, one tensor at a time, when the weights are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.opening import open_lora
from coopdraw.exporter.lora.update import LoraUpdate
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import Weight


@dataclass(frozen=True)
class MergedWeight(Weight):
    """A weight plus `scale` times a LoRA's update, computed in float32 whenever it is read."""

    base: Weight
    update: LoraUpdate
    scale: float

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return self.base.type

    def read(self) -> np.ndarray:
        values = self.update.values(self.scale).reshape(self.type.shape)
        if not np.isfinite(values).all():
            raise LoraError(
                f"{self.update.up.path}: what {self.update.module} adds times {self.scale} is not finite; fetch the "
                "LoRA again or lower its scale"
            )
        values += self.base.read()
        return values.astype(self.type.dtype.numpy, copy=False)


@dataclass(frozen=True)
class LoraReport:
    """What was merged: the file's name and sha256, its strength, how many modules it changes and their ranks."""

    file: str
    sha256: str
    scale: float
    modules: int
    lowest_rank: int
    highest_rank: int


def merge_lora(
    weights: Mapping[str, Weight],
    lora: Path,
    scale: float,
    config: UNetConfig,
    origin: str,
    ignore_text_encoder: bool = False,
) -> dict[str, Weight]:
    """A UNet's weights with a LoRA merged: weight + scale * alpha / rank * (up @ down).

    Nothing is read or computed before a weight is; weights that the LoRA doesn't change, and all at scale 0, stay the
    objects that they are. The result can be merged with another LoRA. Errors are those of `open_lora`; a change that
    is not finite is a LoraError when it is read.
    """
    if not math.isfinite(scale):
        raise LoraError(f"the scale of {lora} for {origin} is {scale}; give a finite number such as 1.0")
    updates = open_lora(lora, weights, config, origin, ignore_text_encoder)
    if scale == 0:
        return dict(weights)
    return {
        name: MergedWeight(weight, updates[name], scale) if name in updates else weight
        for name, weight in weights.items()
    }


def lora_report(
    weights: Mapping[str, Weight],
    lora: Path,
    scale: float,
    config: UNetConfig,
    origin: str,
    ignore_text_encoder: bool = False,
) -> LoraReport:
    """What `merge_lora` merges when it is given the same."""
    ranks = [update.rank for update in open_lora(lora, weights, config, origin, ignore_text_encoder).values()]
    with lora.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return LoraReport(lora.name, digest, scale, len(ranks), min(ranks), max(ranks))
