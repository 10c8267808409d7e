"""Half precision in the references: computed in float32 and rounded once, at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coopdraw.graphs.ops.table import Attributes, Reference
from coopdraw.graphs.types import DType

_HALF = (DType.FLOAT16.numpy, DType.BFLOAT16.numpy)


def widen(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32; anything else as it is."""
    return array.astype(np.float32) if array.dtype in _HALF else array


def rounded(compute: Callable[[Sequence[np.ndarray], Attributes], np.ndarray]) -> Reference:
    """A reference from a function of widened operands; its result is rounded to the first operand's dtype."""

    def reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
        result = compute([widen(array) for array in inputs], attributes)
        return (np.asarray(result).astype(inputs[0].dtype, copy=False),)

    return reference
