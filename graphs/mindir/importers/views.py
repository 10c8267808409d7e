"""Primitives that take a tensor apart: split, chunk, unbind, narrow, select."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_MOST_PARTS = 4096
"""More than any network has, and few enough that a damaged file can't fill the memory."""


@primitive("Split")
def split(call: PrimitiveCall) -> Imported:
    """x, axis, number of equal parts."""
    x = call.tensor(0)
    axis = call.axis(call.integer(1), len(x.type.shape))
    return _equal_parts(call, x, axis, x.type.shape[axis] // call.integer(2))


@primitive("SplitTensor", "SplitTensorView")
def split_by_size(call: PrimitiveCall) -> Imported:
    """x, size of a part, dim; the last part may be smaller."""
    x = call.tensor(0)
    return _equal_parts(call, x, call.axis(call.integer(2), len(x.type.shape)), call.integer(1))


@primitive("Chunk", "ChunkView")
def chunk(call: PrimitiveCall) -> Imported:
    """x, number of parts, dim; the last part may be smaller, and there may be fewer."""
    x = call.tensor(0)
    axis = call.axis(call.integer(2), len(x.type.shape))
    return _equal_parts(call, x, axis, -(-x.type.shape[axis] // call.integer(1)))


@primitive("SplitWithSize", "SplitWithSizeView")
def split_with_sizes(call: PrimitiveCall) -> Imported:
    """x, sizes, dim."""
    x = call.tensor(0)
    axis = call.axis(call.integer(2), len(x.type.shape))
    return call.builder.add_many("split", x, axis=axis, sizes=call.integers(1))


@primitive("Unstack", "UnstackExtView")
def unstack(call: PrimitiveCall) -> Imported:
    """Every slice along an axis, without that axis; mint.unbind has the axis as its second input."""
    x = call.tensor(0)
    found = call.integer(1) if call.operator == "UnstackExtView" else call.integer_attribute("axis", 0)
    axis = call.axis(found, len(x.type.shape))
    shape = x.type.shape[:axis] + x.type.shape[axis + 1 :]
    return tuple(call.add("reshape", part, shape=shape) for part in _equal_parts(call, x, axis, 1))


def _equal_parts(call: PrimitiveCall, x: Value, axis: int, size: int) -> tuple[Value, ...]:
    """Parts of `size`, the last one perhaps smaller."""
    extent = x.type.shape[axis]
    if size < 1 or extent > size * _MOST_PARTS:
        raise call.error(f"splits {x.type} into parts of {size}; make it 1 to {_MOST_PARTS} parts")
    sizes = tuple(min(size, extent - start) for start in range(0, extent, size))
    return call.builder.add_many("split", x, axis=axis, sizes=sizes)


@primitive("NarrowView", "Narrow")
def narrow(call: PrimitiveCall) -> Imported:
    """x, dim, start, length."""
    x = call.tensor(0)
    axis = call.axis(call.integer(1), len(x.type.shape))
    start = call.integer(2)
    start += x.type.shape[axis] if start < 0 else 0
    return _part(call, x, axis, start, start + call.integer(3), 1)


@primitive("SliceExt", "SliceExtView")
def slice_ext(call: PrimitiveCall) -> Imported:
    """x, dim, start, end, step."""
    x = call.tensor(0)
    axis = call.axis(call.integer(1), len(x.type.shape))
    selected = range(*slice(call.integer(2), call.integer(3), call.integer(4)).indices(x.type.shape[axis]))
    return _part(call, x, axis, selected.start, selected.stop, selected.step)


@primitive("SelectExtView")
def select_index(call: PrimitiveCall) -> Imported:
    """x, dim, index: one slice, its axis dropped."""
    x = call.tensor(0)
    axis = call.axis(call.integer(1), len(x.type.shape))
    index = call.axis(call.integer(2), x.type.shape[axis])
    part = _part(call, x, axis, index, index + 1, 1)
    return call.add("reshape", part, shape=x.type.shape[:axis] + x.type.shape[axis + 1 :])


def _part(call: PrimitiveCall, x: Value, axis: int, start: int, stop: int, step: int) -> Value:
    begin, end, stride = [0] * len(x.type.shape), list(x.type.shape), [1] * len(x.type.shape)
    begin[axis], end[axis], stride[axis] = start, stop, step
    return call.add("slice", x, begin=tuple(begin), end=tuple(end), stride=tuple(stride))
