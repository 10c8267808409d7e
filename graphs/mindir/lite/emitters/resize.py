"""Image resizing."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.types import TensorType

_NEAREST = 1
_ASYMMETRIC = 0
_FLOOR = 3
_NCHW = 0
"""ResizeMethod, CoordinateTransformMode, NearestMode and Format of mindspore/core/mindapi/base/types.h."""


@lite_rule("resize")
def resize(emitter: LiteEmitter) -> list[str]:
    """Nearest by a whole factor is Lite's; everything else is a product with weights along each axis."""
    if emitter.node.attributes["mode"] == "nearest" and _has_whole_factors(emitter):
        height, width = emitter.integers("size")
        return [
            emitter.add(
                "Resize",
                *emitter.inputs,
                method=_NEAREST,
                new_height=height,
                new_width=width,
                coordinate_transform_mode=_ASYMMETRIC,
                nearest_mode=_FLOOR,
                cubic_coeff=-0.75,
                format=_NCHW,
            )
        ]
    return [_two_products(emitter)]


def _has_whole_factors(emitter: LiteEmitter) -> bool:
    pairs = zip(emitter.operand(0).shape[2:], emitter.result.shape[2:], strict=True)
    return emitter.node.attributes["coordinates"] == "asymmetric" and all(new % old == 0 for old, new in pairs)


def _two_products(emitter: LiteEmitter) -> str:
    """rows @ (x @ columns^T)."""
    x = emitter.operand(0)
    batch, channels, height, width = x.shape
    new_height, new_width = emitter.integers("size")
    wide = TensorType(x.dtype, (batch, channels, height, new_width))
    columns = np.ascontiguousarray(_weights_along(emitter, width, new_width).T)
    name = _product(emitter, emitter.inputs[0], emitter.constant(columns), wide)
    rows = np.broadcast_to(_weights_along(emitter, height, new_height), (batch, channels, new_height, height))
    return _product(emitter, emitter.constant(np.ascontiguousarray(rows)), name, emitter.result)


def _product(emitter: LiteEmitter, a: str, b: str, type: TensorType) -> str:
    return emitter.add("MatMulFusion", a, b, type=type, transpose_a=False, transpose_b=False, activation_type=0)


def _weights_along(emitter: LiteEmitter, old: int, new: int) -> np.ndarray:
    """(new, old) weights of one axis: the reference applied to unit vectors."""
    units = np.eye(old, dtype=np.float32).reshape(1, old, old, 1)
    (resized,) = evaluate("resize", [units], dict(emitter.node.attributes) | {"size": (new, 1)})
    return np.ascontiguousarray(resized[0, :, :, 0].T).astype(emitter.result.dtype.numpy)
