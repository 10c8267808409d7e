"""Group and layer normalisation."""

from __future__ import annotations

import math

import numpy as np

from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule
from coopdraw.graphs.types import TensorType

_SAFE_SIZE = 1 << 13
"""Elements from which Lite's LayerNorm is used. It divides the rows among all threads, but starts one per about 100
elements, so that rows of small tensors are left out (measured: wrong up to 320 elements on 2 threads, up to 512 on 8,
right from 1024 on 10; this size should do for 80 threads, which nobody has tried).
"""
_WIDTH = 512
"""Of the neutral factors that the kernel is given where there are none."""


@lite_rule("group_norm")
def group_norm(emitter: LiteEmitter) -> list[str]:
    """Layer normalisation of one row per group, then factor and summand per channel."""
    x = emitter.result
    groups = emitter.integer("groups")
    rows = TensorType(x.dtype, (x.shape[0] * groups, x.size // (x.shape[0] * groups)))
    name = emitter.reshape(_normalised(emitter, emitter.inputs[0], rows), x.shape)
    return [emitter.add("ScaleFusion", name, *emitter.inputs[1:], axis=1, activation_type=0)]


@lite_rule("layer_norm")
def layer_norm(emitter: LiteEmitter) -> list[str]:
    shape = emitter.result.shape
    begin = len(shape) - len(emitter.operand(1).shape)
    if emitter.result.size >= _SAFE_SIZE:
        return [_layer_norm(emitter, list(emitter.inputs), emitter.result, begin, begin)]
    rows = TensorType(emitter.result.dtype, (math.prod(shape[:begin]), math.prod(shape[begin:])))
    name = emitter.reshape(_normalised(emitter, emitter.inputs[0], rows), shape)
    return [emitter.add("Add", emitter.add("Mul", name, emitter.inputs[1]), emitter.inputs[2])]


def _layer_norm(emitter: LiteEmitter, inputs: list[str], type: TensorType, axis: int, parameters_axis: int) -> str:
    return emitter.add(
        "LayerNormFusion",
        *inputs,
        type=type,
        begin_norm_axis=axis,
        begin_params_axis=parameters_axis,
        epsilon=emitter.number("epsilon"),
        elementwise_affine=True,
    )


def _normalised(emitter: LiteEmitter, name: str, rows: TensorType) -> str:
    """Rows with mean 0 and deviation 1, in some shape of as many elements."""
    if rows.size < _SAFE_SIZE:
        return _normalised_by_parts(emitter, emitter.reshape(name, rows.shape), rows)
    # The kernel wants factors and summands; they may be shorter than the rows.
    width = _divisor(rows.shape[1])
    type = TensorType(rows.dtype, (rows.shape[0], rows.shape[1] // width, width))
    neutral = [emitter.constant(np.full(width, value, rows.dtype.numpy)) for value in (1.0, 0.0)]
    return _layer_norm(emitter, [emitter.reshape(name, type.shape), *neutral], type, 1, 2)


def _divisor(columns: int) -> int:
    """The largest divisor up to _WIDTH."""
    return next(width for width in range(min(columns, _WIDTH), 0, -1) if columns % width == 0)


def _normalised_by_parts(emitter: LiteEmitter, name: str, rows: TensorType) -> str:
    centred = emitter.add("Sub", name, _mean(emitter, name, rows), type=rows)
    variance = _mean(emitter, emitter.add("Mul", centred, centred, type=rows), rows)
    column = TensorType(rows.dtype, (rows.shape[0], 1))
    shifted = emitter.add("Add", variance, emitter.scalar(emitter.number("epsilon"), rows.dtype), type=column)
    return emitter.add("Div", centred, emitter.add("Sqrt", shifted, type=column), type=rows)


def _mean(emitter: LiteEmitter, name: str, rows: TensorType) -> str:
    column = TensorType(rows.dtype, (rows.shape[0], 1))
    return emitter.add("ReduceMean", name, emitter.constant((1,)), type=column, keep_dims=True)
