"""Weights by reference: where a tensor's bytes lie, read only when somebody asks."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
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

    def rows(self, begin: int, end: int) -> FileWeight:
        """The bytes of the rows [begin, end) along axis 0; raises WeightError where the tensor has no such rows."""
        shape = self.type.shape
        if not shape or not 0 <= begin < end <= shape[0]:
            raise WeightError(f"{self.path.name}: a tensor of {self.type} has no rows {begin} to {end}")
        size = self.stored.nbytes // shape[0]
        kept = (end - begin, *shape[1:])
        stored, type = TensorType(self.stored.dtype, kept), TensorType(self.type.dtype, kept)
        return FileWeight(self.path, tuple(_cut(self.segments, begin * size, end * size)), stored, type)


@dataclass(frozen=True)
class ConcatenatedWeight(Weight):
    """Weights one after the other along axis 0: several layers that became one; `parts` are by their own names.

    Reading holds the result and one part at a time, hashing only one part.
    """

    parts: Mapping[str, Weight]

    def __post_init__(self) -> None:
        kinds = {(part.type.dtype, part.type.shape[1:]) for part in self.parts.values()}
        if len(kinds) != 1 or not all(part.type.shape for part in self.parts.values()):
            listed = ", ".join(f"{name}: {part.type}" for name, part in self.parts.items())
            raise WeightError(f"weights can be put together only if they differ in their first extent alone: {listed}")

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        first = next(iter(self.parts.values())).type
        return TensorType(first.dtype, (sum(part.type.shape[0] for part in self.parts.values()), *first.shape[1:]))

    def rows(self) -> dict[str, tuple[int, int]]:
        """The rows [begin, end) that each part has."""
        found, begin = dict[str, tuple[int, int]](), 0
        for name, part in self.parts.items():
            found[name] = begin, begin + part.type.shape[0]
            begin += part.type.shape[0]
        return found

    def read(self) -> np.ndarray:
        values = np.empty(self.type.shape, self.type.dtype.numpy)
        for name, (begin, end) in self.rows().items():
            values[begin:end] = self.parts[name].read()
        return values

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for part in self.parts.values():
            digest.update(np.ascontiguousarray(part.read()).view(np.uint8).reshape(-1).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class ScaledWeight(Weight):
    """A weight times `factor` (float64, broadcast to the weight's shape): multiplied in float64, rounded once."""

    original: Weight
    factor: np.ndarray = field(repr=False)

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return self.original.type

    def read(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            exact = self.original.read().astype(np.float64) * self.factor
            return np.asarray(exact.astype(self.type.dtype.numpy))


def _cut(segments: tuple[tuple[int, int], ...], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The segments that hold the bytes [begin, end) of what `segments` hold together."""
    position = 0
    for offset, length in segments:
        first, last = max(begin, position), min(end, position + length)
        if first < last:
            yield offset + first - position, last - first
        position += length
