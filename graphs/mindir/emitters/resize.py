"""Image resizing."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.mindir.emission import NodeEmitter, rule
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.ops.resize import resize_taps
from coopdraw.graphs.types import TensorType

_PRIMITIVES = {"nearest": "ResizeNearestNeighborV2", "bilinear": "ResizeBilinearV2"}


@rule("resize")
def resize(emitter: NodeEmitter) -> list[str]:
    mode, coordinates = str(emitter.node.attributes["mode"]), str(emitter.node.attributes["coordinates"])
    if mode == "area":
        return [emitter.add("AdaptiveAvgPool2D", *emitter.inputs, output_size=emitter.integers("size"))]
    if mode == "bicubic":
        return [_two_products(emitter)]
    if mode == "nearest" and not _has_whole_factors(emitter):
        return [_two_gathers(emitter)]
    size = emitter.constant(emitter.integers("size"))
    aligned, half_pixel = coordinates == "align_corners", coordinates == "half_pixel"
    flags = (emitter.constant(aligned), emitter.constant(half_pixel))
    return [emitter.add(_PRIMITIVES[mode], *emitter.inputs, size, *flags)]


def _has_whole_factors(emitter: NodeEmitter) -> bool:
    pairs = zip(emitter.operands[0].type.shape[2:], emitter.result.shape[2:], strict=True)
    return all(old % new == 0 or new % old == 0 for old, new in pairs)


def _two_gathers(emitter: NodeEmitter) -> str:
    """Rows, then columns: MindSpore's nearest kernel rounds positions to float32, which takes the neighbour of some
    (512 to 218 pixels, for one).
    """
    name, shape = emitter.inputs[0], list(emitter.operands[0].type.shape)
    coordinates = str(emitter.node.attributes["coordinates"])
    for axis in (2, 3):
        indices = resize_taps("nearest", coordinates, shape[axis], emitter.result.shape[axis]).indices[:, 0]
        shape[axis] = emitter.result.shape[axis]
        type = TensorType(emitter.result.dtype, tuple(shape))
        taken = emitter.constant(indices.astype(np.int32))
        name = emitter.add("Gather", name, taken, emitter.constant(axis), emitter.constant(0), type=type)
    return name


def _two_products(emitter: NodeEmitter) -> str:
    """rows @ x @ columns^T: MindSpore's bicubic kernel rounds positions to 1/1024, and with half-pixel centres it uses
    another coefficient than -0.75.
    """
    x = emitter.operands[0].type
    batch, channels, height, width = x.shape
    new_height, new_width = emitter.integers("size")
    flat = TensorType(x.dtype, (batch * channels * height, width))
    wide = TensorType(x.dtype, (batch * channels * height, new_width))
    name = emitter.add("Reshape", emitter.inputs[0], emitter.constant(flat.shape), type=flat)
    columns = emitter.constant(_weights_along(emitter, width, new_width))
    name = emitter.add("MatMul", name, columns, emitter.constant(False), emitter.constant(True), type=wide)
    stack = TensorType(x.dtype, (batch * channels, height, new_width))
    name = emitter.add("Reshape", name, emitter.constant(stack.shape), type=stack)
    rows = np.broadcast_to(_weights_along(emitter, height, new_height), (batch * channels, new_height, height))
    tall = TensorType(x.dtype, (batch * channels, new_height, new_width))
    flags = (emitter.constant(False), emitter.constant(False))
    name = emitter.add("BatchMatMul", emitter.constant(rows), name, *flags, type=tall)
    return emitter.add("Reshape", name, emitter.constant(emitter.result.shape))


def _weights_along(emitter: NodeEmitter, old: int, new: int) -> np.ndarray:
    """(new, old) interpolation weights of one axis: the reference applied to unit vectors."""
    units = np.eye(old, dtype=np.float32).reshape(1, old, old, 1)
    (resized,) = evaluate("resize", [units], dict(emitter.node.attributes) | {"size": (new, 1)})
    return np.ascontiguousarray(resized[0, :, :, 0].T).astype(emitter.result.dtype.numpy)
