"""Operators that move or copy elements."""

from __future__ import annotations

from coopdraw.graphs.mindir.emission import NodeEmitter, rule


@rule("reshape", "broadcast_to")
def to_shape(emitter: NodeEmitter) -> list[str]:
    primitive = "Reshape" if emitter.node.operator == "reshape" else "BroadcastTo"
    return [emitter.add(primitive, *emitter.inputs, emitter.constant(emitter.result.shape))]


@rule("transpose")
def transpose(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Transpose", *emitter.inputs, emitter.constant(emitter.integers("permutation")))]


@rule("tile")
def tile(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Tile", *emitter.inputs, emitter.constant(emitter.integers("repeats")))]


@rule("concat")
def concat(emitter: NodeEmitter) -> list[str]:
    whole = emitter.add_tuple("MakeTuple", *emitter.inputs, types=[value.type for value in emitter.operands])
    return [emitter.add("Concat", whole, emitter.constant(emitter.integer("axis")))]


@rule("split")
def split(emitter: NodeEmitter) -> list[str]:
    """Equal parts are a Split, others a slice each."""
    axis, sizes = emitter.integer("axis"), emitter.integers("sizes")
    outputs = emitter.node.outputs
    if len(set(sizes)) == 1:
        types = [value.type for value in outputs]
        whole = emitter.add_tuple(
            "Split", *emitter.inputs, emitter.constant(axis), emitter.constant(len(sizes)), types=types
        )
        return [emitter.item(whole, index, value.type) for index, value in enumerate(outputs)]
    parts, start = [], 0
    for size, value in zip(sizes, outputs, strict=True):
        begin, end = [0] * len(value.type.shape), list(emitter.operands[0].type.shape)
        begin[axis], end[axis] = start, start + size
        parts.append(_strided_slice(emitter, tuple(begin), tuple(end), (1,) * len(begin), value.type.shape))
        start += size
    return parts


@rule("slice")
def slice_(emitter: NodeEmitter) -> list[str]:
    begin, end, stride = (emitter.integers(name) for name in ("begin", "end", "stride"))
    return [_strided_slice(emitter, begin, end, stride, emitter.result.shape)]


def _strided_slice(
    emitter: NodeEmitter, begin: tuple[int, ...], end: tuple[int, ...], stride: tuple[int, ...], shape: tuple[int, ...]
) -> str:
    bounds = [emitter.constant(item) for item in (begin, end, stride)]
    masks = [emitter.constant(0)] * 5
    type = emitter.result.__class__(emitter.result.dtype, shape)
    return emitter.add("StridedSlice", *emitter.inputs, *bounds, *masks, type=type)


@rule("pad")
def pad(emitter: NodeEmitter) -> list[str]:
    """PadV3 lists its padding from the last axis backwards."""
    pairs = zip(emitter.integers("before"), emitter.integers("after"), strict=True)
    padding = tuple(amount for pair in reversed(list(pairs)) for amount in pair)
    value = emitter.scalar(emitter.number("value"), emitter.result.dtype)
    return [
        emitter.add(
            "PadV3", *emitter.inputs, emitter.constant(padding), value, mode="constant", paddings_contiguous=True
        )
    ]
