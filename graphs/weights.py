"""Weights by reference: where a tensor's bytes lie, read only when somebody asks."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.types import DType, TensorType


class Weight(ABC):
    """A named tensor of a Module whose bytes are produced on demand, one tensor at a time."""

    type: TensorType

    @abstractmethod
    def read(self) -> np.ndarray:
        """The values with `type`'s dtype and shape; a view of mapped pages where no conversion is needed."""

    def sha256(self) -> str:
        """Hash of the little-endian C-order bytes that `read` returns."""
        return hashlib.sha256(np.ascontiguousarray(self.read()).view(np.uint8).reshape(-1).data).hexdigest()


@dataclass(frozen=True)
class ArrayWeight(Weight):
    """A weight that lives in memory, such as the result of folding constants."""

    array: np.ndarray = field(repr=False)

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return TensorType.of(self.array)

    def read(self) -> np.ndarray:
        return self.array


@dataclass(frozen=True)
class FileWeight(Weight):
    """A weight inside a file: `segments` of (offset, bytes) that follow each other hold `stored` values in C order.

    `type` may differ from what is stored in dtype (converted when read) and in shape (same number of elements).
    """

    path: Path
    segments: tuple[tuple[int, int], ...]
    stored: TensorType
    type: TensorType

    def __post_init__(self) -> None:
        if self.stored.size != self.type.size:
            raise WeightError(f"{self.path.name}: a tensor of {self.stored} cannot be used as {self.type}")
        if sum(length for _, length in self.segments) != self.stored.nbytes:
            raise WeightError(f"{self.path.name}: the bytes stored for a tensor of {self.stored} have another length")

    def read(self) -> np.ndarray:
        try:
            mapped = np.memmap(self.path, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise WeightError(f"cannot map {self.path}: {error}; restore the file") from error
        end = max((offset + length for offset, length in self.segments), default=0)
        if end > mapped.size:
            raise WeightError(f"{self.path} ends at byte {mapped.size}, before its tensors do; fetch the file again")
        parts = [mapped[offset : offset + length] for offset, length in self.segments]
        raw = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if raw.ctypes.data % self.stored.dtype.itemsize:
            raw = raw.copy()
        values = raw.view(self.stored.dtype.numpy).reshape(self.type.shape)
        return np.asarray(values.astype(self.type.dtype.numpy, copy=False))

    def as_type(self, type: TensorType) -> FileWeight:
        """The same bytes read as another dtype or shape."""
        return replace(self, type=type)

    def as_dtype(self, dtype: DType) -> FileWeight:
        return self.as_type(TensorType(dtype, self.type.shape))
