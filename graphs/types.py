"""Element types and static tensor types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import ml_dtypes
import numpy as np

from coopdraw.graphs.errors import GraphError


class DType(StrEnum):
    """Element types the IR knows, named as NumPy names them."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    INT8 = "int8"
    UINT8 = "uint8"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype (bfloat16 through ml_dtypes)."""
        return np.dtype(ml_dtypes.bfloat16) if self is DType.BFLOAT16 else np.dtype(self.value)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.numpy.itemsize

    @property
    def is_floating(self) -> bool:
        return self in (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64)

    @classmethod
    def of(cls, dtype: np.dtype | type) -> DType:
        """The IR's name for a NumPy dtype; raises GraphError for one the IR doesn't know."""
        name = np.dtype(dtype).name
        try:
            return cls(name)
        except ValueError:
            raise GraphError(f"element type {name} is not supported; convert to one of {', '.join(cls)}") from None


@dataclass(frozen=True)
class TensorType:
    """A static tensor type: element type and shape (every dimension known)."""

    dtype: DType
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @classmethod
    def of(cls, array: np.ndarray) -> TensorType:
        """The type of a NumPy array."""
        return cls(DType.of(array.dtype), tuple(int(extent) for extent in array.shape))
