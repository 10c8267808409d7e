"""Primitives that take a tensor apart: split, chunk, narrow, select."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("Split")
def split(call: PrimitiveCall) -> Imported:
    """x, axis, number of equal parts."""
    x = call.tensor(0)
    axis = call.integer(1) if call.argument(1) is not None else call.integer_attribute("axis")
    count = call.integer(2) if call.argument(2) is not None else call.integer_attribute("output_num")
    axis %= len(x.type.shape)
    return _split(call, x, axis, (x.type.shape[axis] // count,) * count)


@primitive("SplitTensor", "SplitTensorView", "Chunk", "ChunkView")
def split_by_size(call: PrimitiveCall) -> Imported:
    """x, size of a part (or number of chunks), dim; the last part may be smaller."""
    x, amount = call.tensor(0), call.integer(1)
    axis = call.integer(2) % len(x.type.shape)
    extent = x.type.shape[axis]
    size = -(-extent // amount) if call.operator.startswith("Chunk") else amount
    return _split(call, x, axis, tuple(min(size, extent - start) for start in range(0, extent, size)))


@primitive("SplitWithSize", "SplitWithSizeView")
def split_with_sizes(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    return _split(call, x, call.integer(2) % len(x.type.shape), call.integers(1))


def _split(call: PrimitiveCall, x: Value, axis: int, sizes: tuple[int, ...]) -> Imported:
    return call.builder.add_many("split", x, axis=axis, sizes=sizes)


@primitive("NarrowView", "Narrow")
def narrow(call: PrimitiveCall) -> Imported:
    """x, dim, start, length."""
    x = call.tensor(0)
    start = call.integer(2)
    return _part(call, x, call.integer(1) % len(x.type.shape), start, start + call.integer(3), 1)


@primitive("SliceExt", "SliceExtView")
def slice_ext(call: PrimitiveCall) -> Imported:
    """x, dim, start, end, step."""
    x = call.tensor(0)
    axis = call.integer(1) % len(x.type.shape)
    selected = range(*slice(call.integer(2), call.integer(3), call.integer(4)).indices(x.type.shape[axis]))
    return _part(call, x, axis, selected.start, selected.stop, selected.step)


@primitive("SelectExtView", "SelectExt")
def select_index(call: PrimitiveCall) -> Imported:
    """x, dim, index: one slice, its axis dropped."""
    x = call.tensor(0)
    axis = call.integer(1) % len(x.type.shape)
    index = call.integer(2) % x.type.shape[axis]
    part = _part(call, x, axis, index, index + 1, 1)
    return call.add("reshape", part, shape=x.type.shape[:axis] + x.type.shape[axis + 1 :])


def _part(call: PrimitiveCall, x: Value, axis: int, start: int, stop: int, step: int) -> Value:
    begin, end, stride = [0] * len(x.type.shape), list(x.type.shape), [1] * len(x.type.shape)
    begin[axis], end[axis], stride[axis] = start, stop, step
    return call.add("slice", x, begin=tuple(begin), end=tuple(end), stride=tuple(stride))
