"""Image resizing."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.onnx.emission import NodeEmitter, rule
from coopdraw.graphs.ops.resize import resize_taps

_CUBIC_A = -0.75


@rule("resize")
def resize(emitter: NodeEmitter) -> list[str]:
    mode, coordinates = emitter.text("mode"), emitter.text("coordinates")
    old, new = emitter.operands[0].type.shape[2:], emitter.integers("size")
    if old == new:
        return list(emitter.inputs)
    if mode == "area":
        return [_area(emitter)]
    if mode == "nearest":
        if not all(_repeats(coordinates, *extents) for extents in zip(old, new, strict=True)):
            return [_two_gathers(emitter)]
        return [_resize(emitter, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")]
    if mode == "bilinear":
        return [_resize(emitter, mode="linear", coordinate_transformation_mode=coordinates)]
    return [_resize(emitter, mode="cubic", coordinate_transformation_mode=coordinates, cubic_coeff_a=_CUBIC_A)]


def _resize(emitter: NodeEmitter, **attributes: str | float) -> str:
    size = emitter.shape(emitter.result.shape)
    return emitter.add("Resize", *emitter.inputs, "", "", size, domain="", **attributes)


def _repeats(coordinates: str, old: int, new: int) -> bool:
    """Whether every element of an axis is repeated equally often."""
    indices = resize_taps("nearest", coordinates, old, new).indices[:, 0]
    return new % old == 0 and np.array_equal(indices, np.arange(new) // (new // old))


def _two_gathers(emitter: NodeEmitter) -> str:
    """Rows, then columns: runtimes round positions to float32, which takes the neighbour of some."""
    name = emitter.inputs[0]
    for axis in (2, 3):
        old, new = emitter.operands[0].type.shape[axis], emitter.result.shape[axis]
        if old != new:
            indices = resize_taps("nearest", emitter.text("coordinates"), old, new).indices[:, 0]
            name = emitter.add("Gather", name, emitter.array(indices), axis=axis)
    return name


def _area(emitter: NodeEmitter) -> str:
    """A pooling where windows are alike, rows @ x @ columns^T where not."""
    old, new = emitter.operands[0].type.shape[2:], emitter.integers("size")
    if all(before % after == 0 for before, after in zip(old, new, strict=True)):
        kernel = tuple(before // after for before, after in zip(old, new, strict=True))
        return emitter.add("AveragePool", *emitter.inputs, kernel_shape=kernel, strides=kernel)
    rows, columns = (_weights(emitter, *extents) for extents in zip(old, new, strict=True))
    return emitter.add("MatMul", emitter.array(rows), emitter.add("MatMul", *emitter.inputs, emitter.array(columns.T)))


def _weights(emitter: NodeEmitter, old: int, new: int) -> np.ndarray:
    """(new, old): the share of each input element in each output element of one axis."""
    taps = resize_taps("area", "", old, new)
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new)[:, None], taps.indices), taps.weights)
    return weights.astype(emitter.result.dtype.numpy)
