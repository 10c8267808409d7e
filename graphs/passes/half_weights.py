"""Weights in half precision: converted when they are read, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight, Weight


@dataclass(frozen=True)
class ConvertedWeight(Weight):
    """A weight rounded to another dtype; what exceeds it becomes infinite."""

    original: Weight
    dtype: DType

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return TensorType(self.dtype, self.original.type.shape)

    def read(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(self.original.read().astype(self.dtype.numpy))


def converted(weight: Weight, dtype: DType) -> Weight:
    """The weight in another dtype; no bytes are read, and those that are stored in that dtype are never converted."""
    if isinstance(weight, FileWeight) and weight.stored.dtype is dtype:
        return weight.as_dtype(dtype)
    return ConvertedWeight(weight, dtype)


def names_in_half(weights: Set[str], wide: Set[str], narrow: Set[str], dtype: DType) -> dict[str, str]:
    """What the `narrow` weights are called in half precision: one that is also among the `wide` gets a name of its own.

    `weights` are all names that are taken.
    """
    names: dict[str, str] = {}
    for name in sorted(narrow):
        wish, count = name, 1
        while name in wide and (wish in weights or wish in names.values()):
            wish = f"{name}.{dtype}" if count == 1 else f"{name}.{dtype}_{count}"
            count += 1
        names[name] = wish
    return names


def weights_in_half(
    weights: Mapping[str, Weight], wide: Set[str], names: Mapping[str, str], dtype: DType
) -> dict[str, Weight]:
    """All weights after the conversion of those in `names`, the originals of those that are still read among them."""
    kept = {name: weight for name, weight in weights.items() if name not in names or name in wide}
    return kept | {renamed: converted(weights[name], dtype) for name, renamed in names.items()}
