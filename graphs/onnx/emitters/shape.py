"""Operators that move or copy elements."""

from __future__ import annotations

from coopdraw.graphs.onnx.emission import NodeEmitter, rule


@rule("reshape", "broadcast_to")
def to_shape(emitter: NodeEmitter) -> list[str]:
    op_type = "Reshape" if emitter.node.operator == "reshape" else "Expand"
    return [emitter.add(op_type, *emitter.inputs, emitter.shape(emitter.result.shape))]


@rule("transpose")
def transpose(emitter: NodeEmitter) -> list[str]:
    permutation = emitter.integers("permutation")
    if not permutation:  # ONNX has no empty lists of axes
        return list(emitter.inputs)
    return [emitter.add("Transpose", *emitter.inputs, perm=permutation)]


@rule("tile")
def tile(emitter: NodeEmitter) -> list[str]:
    repeats = emitter.integers("repeats")
    return [emitter.add("Tile", *emitter.inputs, emitter.shape(repeats))] if repeats else list(emitter.inputs)


@rule("concat")
def concat(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Concat", *emitter.inputs, axis=emitter.integer("axis"))]


@rule("split")
def split(emitter: NodeEmitter) -> list[str]:
    sizes = emitter.integers("sizes")
    axis = emitter.integer("axis")
    return list(emitter.add_many("Split", *emitter.inputs, emitter.shape(sizes), outputs=len(sizes), axis=axis))


@rule("slice")
def slice_(emitter: NodeEmitter) -> list[str]:
    """Only the axes that are cut."""
    bounds = zip(*(emitter.integers(name) for name in ("begin", "end", "stride")), strict=True)
    extents = emitter.operands[0].type.shape
    cuts = [(*cut, axis) for axis, cut in enumerate(bounds) if cut != (0, extents[axis], 1)]
    if not cuts:
        return list(emitter.inputs)
    begin, end, stride, axes = (emitter.shape(column) for column in zip(*cuts, strict=True))
    return [emitter.add("Slice", *emitter.inputs, begin, end, axes, stride)]


@rule("pad")
def pad(emitter: NodeEmitter) -> list[str]:
    if not emitter.result.shape:
        return list(emitter.inputs)
    amounts = emitter.shape((*emitter.integers("before"), *emitter.integers("after")))
    return [emitter.add("Pad", *emitter.inputs, amounts, emitter.scalar(emitter.number("value"), emitter.result.dtype))]
