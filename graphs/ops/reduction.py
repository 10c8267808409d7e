"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType


def _axes(attributes: Attributes, dimensions: int) -> tuple[int, ...]:
    axes = checks.integers(attributes, "axes", least=0)
    if not axes or len(set(axes)) != len(axes) or max(axes) >= dimensions:
        raise GraphError(f"axes is {list(axes)}, but must name at least one of 0..{dimensions - 1}, each once")
    return axes


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return inputs[0].size


def _reduction(name: str, accepts: checks.DTypeCheck, function: Callable[..., np.ndarray]) -> None:
    def infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
        (x,) = inputs
        accepts(x)
        axes = _axes(attributes, len(x.shape))
        if attributes["keepdims"]:
            shape = tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape))
        else:
            shape = tuple(extent for axis, extent in enumerate(x.shape) if axis not in axes)
        return (TensorType(x.dtype, shape),)

    def compute(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
        (x,) = inputs
        return function(x, axis=_axes(attributes, x.ndim), keepdims=bool(attributes["keepdims"]))

    register(Operator(name, 1, 1, {"axes": (tuple,), "keepdims": (bool,)}, infer, rounded(compute), _flops))


_reduction("reduce_sum", checks.numeric, np.sum)
_reduction("reduce_mean", checks.floating, np.mean)
_reduction("reduce_max", checks.numeric, np.max)
_reduction("reduce_min", checks.numeric, np.min)
