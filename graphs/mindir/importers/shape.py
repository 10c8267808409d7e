"""Primitives that move or copy elements: reshape, transpose, concat, slice, pad, broadcast, gather."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("Reshape", "View", "ExpandDims", "ExpandDimsView", "Squeeze", "Flatten", "FlattenExt")
def reshape(call: PrimitiveCall) -> Imported:
    """All of them keep the order of elements, so the declared output shape says it all."""
    return call.add("reshape", call.tensor(0), shape=call.output_type().shape)


@primitive("Transpose", "TransposeView")
def transpose(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    rank = len(x.type.shape)
    return call.add("transpose", x, permutation=tuple(call.axis(axis, rank) for axis in call.integers(1)))


@primitive("TransposeExtView")
def swap_axes(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    order = list(range(len(x.type.shape)))
    first, second = (call.axis(call.integer(index), len(order)) for index in (1, 2))
    order[first], order[second] = order[second], order[first]
    return call.add("transpose", x, permutation=tuple(order))


@primitive("Concat")
def concat(call: PrimitiveCall) -> Imported:
    items = call.tensors(0)
    by_input = isinstance(call.argument(0), tuple) and call.argument(1) is not None
    axis = call.integer(1) if by_input else call.integer_attribute("axis", 0)
    return call.add("concat", *items, axis=call.axis(axis, len(items[0].type.shape)))


@primitive("Stack", "StackExt")
def stack(call: PrimitiveCall) -> Imported:
    items = call.tensors(0)
    axis = call.integer_attribute("axis", 0) if call.operator == "Stack" else call.integer(1)
    shape = list(items[0].type.shape)
    axis = call.axis(axis, len(shape) + 1)
    shape.insert(axis, 1)
    return call.add("concat", *(call.add("reshape", item, shape=tuple(shape)) for item in items), axis=axis)


@primitive("StridedSlice")
def strided_slice(call: PrimitiveCall) -> Imported:
    """NumPy slices: begin, end, strides and the masks begin, end, ellipsis, new_axis, shrink_axis (bit i is item i)."""
    x = call.tensor(0)
    begins, ends, strides = call.integers(1), call.integers(2), call.integers(3)
    masks = [call.integer(index) if call.argument(index) is not None else 0 for index in range(4, 9)]
    begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_mask = masks
    if ellipsis_mask or new_axis_mask:
        raise call.error("has an ellipsis or a new axis in a slice; write the axes out")
    begin, end, stride, kept = [], [], [], []
    for axis, extent in enumerate(x.type.shape):
        if axis >= len(begins):
            selected = range(extent)
        elif shrink_mask >> axis & 1:
            index = call.axis(begins[axis], extent)
            selected = range(index, index + 1)
        else:
            first = None if begin_mask >> axis & 1 else begins[axis]
            last = None if end_mask >> axis & 1 else ends[axis]
            selected = range(*slice(first, last, strides[axis]).indices(extent))
        if not selected or selected.step < 1:
            raise call.error("selects nothing or walks backwards; use a slice with a positive step")
        begin.append(selected.start)
        end.append(selected.stop)
        stride.append(selected.step)
        if not (axis < len(begins) and shrink_mask >> axis & 1):
            kept.append(len(selected))
    sliced = call.add("slice", x, begin=tuple(begin), end=tuple(end), stride=tuple(stride))
    return sliced if len(kept) == len(begin) else call.add("reshape", sliced, shape=tuple(kept))


@primitive("Slice")
def slice_(call: PrimitiveCall) -> Imported:
    """x, begin, size; a size of -1 reaches to the end."""
    x = call.tensor(0)
    begin, sizes = call.integers(1), call.integers(2)
    end = tuple(
        extent if size == -1 else start + size for extent, start, size in zip(x.type.shape, begin, sizes, strict=True)
    )
    return call.add("slice", x, begin=begin, end=end, stride=(1,) * len(begin))


@primitive("BroadcastTo", "BroadcastToView")
def broadcast_to(call: PrimitiveCall) -> Imported:
    return call.add("broadcast_to", call.tensor(0), shape=call.output_type().shape)


@primitive("Tile", "Repeat")
def tile(call: PrimitiveCall) -> Imported:
    x, repeats = call.tensor(0), call.integers(1)
    rank = max(len(repeats), len(x.type.shape))
    if len(x.type.shape) < rank:
        x = call.add("reshape", x, shape=(1,) * (rank - len(x.type.shape)) + x.type.shape)
    return call.add("tile", x, repeats=(1,) * (rank - len(repeats)) + repeats)


@primitive("RepeatInterleaveInt")
def repeat_interleave(call: PrimitiveCall) -> Imported:
    """Every element along an axis `repeats` times in a row, as a broadcast between two reshapes."""
    x, repeats = call.tensor(0), call.integer(1)
    if call.argument(2) is None:
        raise call.error("repeats over the flattened tensor; give a dim")
    axis = call.axis(call.integer(2), len(x.type.shape))
    before, after = x.type.shape[: axis + 1], x.type.shape[axis + 1 :]
    spread = call.add(
        "broadcast_to", call.add("reshape", x, shape=(*before, 1, *after)), shape=(*before, repeats, *after)
    )
    return call.add("reshape", spread, shape=(*before[:-1], before[-1] * repeats, *after))


@primitive("ConstantPadND", "PadV3")
def pad(call: PrimitiveCall) -> Imported:
    """Padding is listed from the last axis backwards: (last before, last after, next before, ...)."""
    x, padding = call.tensor(0), call.integers(1)
    if call.attributes.get("mode", "constant") != "constant":
        raise call.error(f"has mode {call.attributes['mode']!r}; only constant padding is supported")
    if call.operator == "PadV3" and not call.integer_attribute("paddings_contiguous", 1):
        raise call.error("lists its paddings by side (paddings_contiguous=False); list them by axis")
    untouched = len(x.type.shape) - len(padding) // 2
    if len(padding) % 2 or untouched < 0:
        raise call.error(f"has {len(padding)} paddings for {x.type}; give two for each axis that is padded")
    before, after = ((0,) * untouched + padding[side::2][::-1] for side in (0, 1))
    return call.add("pad", x, before=before, after=after, value=_fill(call))


@primitive("Pad")
def pad_by_attribute(call: PrimitiveCall) -> Imported:
    pairs = call.attributes.get("paddings")
    if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise call.error("has no pairs of paddings; export the file again")
    before, after = (tuple(int(pair[side]) for pair in pairs) for side in (0, 1))
    return call.add("pad", call.tensor(0), before=before, after=after, value=0.0)


def _fill(call: PrimitiveCall) -> float:
    found = call.argument(2)
    return float(found.item()) if isinstance(found, np.ndarray) else 0.0 if found is None else call.number(2)


@primitive("Gather")
def gather(call: PrimitiveCall) -> Imported:
    """x, indices, axis, batch_dims."""
    if call.argument(3) is not None and call.integer(3) != 0:
        raise call.error("gathers with batch_dims; use 0")
    x = call.tensor(0)
    return call.add("gather", x, call.tensor(1), axis=call.axis(call.integer(2), len(x.type.shape)))


@primitive("IndexSelect")
def index_select(call: PrimitiveCall) -> Imported:
    """x, axis, indices."""
    x = call.tensor(0)
    return call.add("gather", x, call.tensor(2), axis=call.axis(call.integer(1), len(x.type.shape)))


@primitive("Embedding")
def embedding(call: PrimitiveCall) -> Imported:
    """mint.nn.functional.embedding: indices, table, padding_idx, max_norm, ..."""
    if call.argument(3) is not None:
        raise call.error("renormalises the table (max_norm); leave it out")
    return call.add("gather", call.tensor(1), call.tensor(0), axis=0)
