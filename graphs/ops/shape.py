"""Moves elements without computing: reshape, transpose, concat, split, slice, pad, broadcast_to, tile, gather."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import DType, TensorType


def _infer_reshape(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    shape = checks.integers(attributes, "shape", least=1)
    if math.prod(shape) != x.size:
        raise GraphError(
            f"x is {x}, whose {x.size} elements don't fill {list(shape)}; fix the shape (-1 isn't allowed)"
        )
    return (TensorType(x.dtype, shape),)


def _reshape(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (inputs[0].reshape(checks.integers(attributes, "shape", least=1)),)


register(Operator("reshape", 1, 1, {"shape": (tuple,)}, _infer_reshape, _reshape))


def _infer_transpose(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    permutation = checks.integers(attributes, "permutation", least=0)
    if sorted(permutation) != list(range(len(x.shape))):
        raise GraphError(f"permutation is {list(permutation)}, but must order the {len(x.shape)} axes of {x}")
    return (TensorType(x.dtype, tuple(x.shape[axis] for axis in permutation)),)


def _transpose(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (np.transpose(inputs[0], checks.integers(attributes, "permutation", least=0)),)


register(Operator("transpose", 1, 1, {"permutation": (tuple,)}, _infer_transpose, _transpose))


def _infer_concat(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    first = inputs[0]
    axis = checks.axis(attributes, len(first.shape))
    checks.same_dtype(inputs)
    for other in inputs[1:]:
        if len(other.shape) != len(first.shape) or any(
            a != b for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if i != axis
        ):
            raise GraphError(f"operands are {first} and {other}, but may differ only along axis {axis}")
    extent = sum(operand.shape[axis] for operand in inputs)
    return (TensorType(first.dtype, (*first.shape[:axis], extent, *first.shape[axis + 1 :])),)


def _concat(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (np.concatenate(inputs, axis=checks.axis(attributes, inputs[0].ndim)),)


register(Operator("concat", 1, None, {"axis": (int,)}, _infer_concat, _concat))


def _infer_split(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    axis = checks.axis(attributes, len(x.shape))
    sizes = checks.integers(attributes, "sizes", least=1)
    if sum(sizes) != x.shape[axis]:
        raise GraphError(f"sizes is {list(sizes)}, but must add up to extent {x.shape[axis]} of axis {axis} of {x}")
    return tuple(TensorType(x.dtype, (*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes)


def _split(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    (x,) = inputs
    sizes = checks.integers(attributes, "sizes", least=1)
    return np.split(x, np.cumsum(sizes[:-1]), axis=checks.axis(attributes, x.ndim))


register(Operator("split", 1, 1, {"axis": (int,), "sizes": (tuple,)}, _infer_split, _split))


def _slices(attributes: Attributes, dimensions: int) -> tuple[slice, ...]:
    begin = checks.integers(attributes, "begin", least=0, length=dimensions)
    end = checks.integers(attributes, "end", least=1, length=dimensions)
    stride = checks.integers(attributes, "stride", least=1, length=dimensions)
    return tuple(map(slice, begin, end, stride))


def _infer_slice(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    slices = _slices(attributes, len(x.shape))
    for axis, (piece, extent) in enumerate(zip(slices, x.shape, strict=True)):
        if not piece.start < piece.stop <= extent:
            raise GraphError(f"axis {axis} of {x} is cut from {piece.start} to {piece.stop}; stay within 0..{extent}")
    return (TensorType(x.dtype, tuple(-((piece.start - piece.stop) // piece.step) for piece in slices)),)


def _slice(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    (x,) = inputs
    return (x[_slices(attributes, x.ndim)],)


register(Operator("slice", 1, 1, {"begin": (tuple,), "end": (tuple,), "stride": (tuple,)}, _infer_slice, _slice))


def _padding(attributes: Attributes, dimensions: int) -> tuple[tuple[int, int], ...]:
    before = checks.integers(attributes, "before", least=0, length=dimensions)
    after = checks.integers(attributes, "after", least=0, length=dimensions)
    return tuple(zip(before, after, strict=True))


def _infer_pad(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    checks.numeric(x)
    value = attributes["value"]
    assert isinstance(value, float)
    checks.fits(value, x.dtype)
    padding = _padding(attributes, len(x.shape))
    return (TensorType(x.dtype, tuple(extent + sum(both) for extent, both in zip(x.shape, padding, strict=True))),)


def _pad(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    (x,) = inputs
    padding = _padding(attributes, x.ndim)
    value = np.asarray(attributes["value"]).astype(x.dtype)
    result = np.full([extent + sum(both) for extent, both in zip(x.shape, padding, strict=True)], value, x.dtype)
    result[tuple(slice(before, before + extent) for extent, (before, _) in zip(x.shape, padding, strict=True))] = x
    return (result,)


register(Operator("pad", 1, 1, {"before": (tuple,), "after": (tuple,), "value": (float,)}, _infer_pad, _pad))


def _infer_broadcast_to(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    shape = checks.integers(attributes, "shape", least=1)
    if checks.broadcast(x.shape, shape) != shape:
        raise GraphError(f"x is {x}, which doesn't broadcast to {list(shape)}; fix the shape")
    return (TensorType(x.dtype, shape),)


def _broadcast_to(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (np.broadcast_to(inputs[0], checks.integers(attributes, "shape", least=1)),)


register(Operator("broadcast_to", 1, 1, {"shape": (tuple,)}, _infer_broadcast_to, _broadcast_to))


def _infer_tile(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    repeats = checks.integers(attributes, "repeats", least=1, length=len(x.shape))
    return (TensorType(x.dtype, tuple(extent * times for extent, times in zip(x.shape, repeats, strict=True))),)


def _tile(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (np.tile(inputs[0], checks.integers(attributes, "repeats", least=1)),)


register(Operator("tile", 1, 1, {"repeats": (tuple,)}, _infer_tile, _tile))


def _infer_gather(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    x, indices = inputs
    axis = checks.axis(attributes, len(x.shape))
    if indices.dtype not in (DType.INT32, DType.INT64):
        raise GraphError(f"indices are {indices}, but must be int32 or int64; cast them first")
    return (TensorType(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])),)


def _gather(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    x, indices = inputs
    axis = checks.axis(attributes, x.ndim)
    lowest, highest = int(indices.min()), int(indices.max())
    if lowest < 0 or highest >= x.shape[axis]:
        raise GraphError(f"indices run from {lowest} to {highest}, but must be in 0..{x.shape[axis] - 1}; fix them")
    return (np.take(x, indices, axis=axis),)


register(Operator("gather", 2, 2, {"axis": (int,)}, _infer_gather, _gather))
