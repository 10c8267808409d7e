"""Group and layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.onnx.emission import NodeEmitter, rule

_LAYER_NORM_OPSET = 17


@rule("group_norm")
def group_norm(emitter: NodeEmitter) -> list[str]:
    """InstanceNormalization of the groups, then gamma and beta as a BatchNormalization of mean 0 and variance 1.

    GroupNormalization is not used: runtimes without a kernel for it take it apart into ten passes over the data, and
    its variance is a difference of squares. Measured in ONNX Runtime: 2 to 3 times slower.
    """
    x, gamma, beta = emitter.widened(emitter.inputs)
    shape, groups = emitter.result.shape, emitter.integer("groups")
    dtype = emitter.wide_dtype.numpy
    normal = emitter.add(
        "InstanceNormalization",
        emitter.reshape(x, (shape[0], groups, emitter.result.size // (shape[0] * groups))),
        emitter.array(np.ones(groups, dtype)),
        emitter.array(np.zeros(groups, dtype)),
        epsilon=emitter.number("epsilon"),
    )
    mean, variance = emitter.array(np.zeros(shape[1], dtype)), emitter.array(np.ones(shape[1], dtype))
    y = emitter.add("BatchNormalization", emitter.reshape(normal, shape), gamma, beta, mean, variance, epsilon=0.0)
    return [emitter.narrowed(y)]


@rule("layer_norm")
def layer_norm(emitter: NodeEmitter) -> list[str]:
    axis = -len(emitter.operands[1].type.shape)
    x, gamma, beta = emitter.widened(emitter.inputs)
    if emitter.scope.form.opset < _LAYER_NORM_OPSET:
        return [emitter.narrowed(_written_out(emitter, x, gamma, beta, range(axis, 0)))]
    y = emitter.add("LayerNormalization", x, gamma, beta, axis=axis, epsilon=emitter.number("epsilon"))
    return [emitter.narrowed(y)]


def _written_out(emitter: NodeEmitter, x: str, gamma: str, beta: str, axes: Sequence[int]) -> str:
    centred = emitter.add("Sub", x, emitter.add("ReduceMean", x, axes=axes, keepdims=1))
    variance = emitter.add("ReduceMean", emitter.add("Mul", centred, centred), axes=axes, keepdims=1)
    epsilon = emitter.array(np.asarray(emitter.number("epsilon"), emitter.wide_dtype.numpy))
    deviation = emitter.add("Sqrt", emitter.add("Add", variance, epsilon))
    return emitter.add("Add", emitter.add("Mul", emitter.add("Div", centred, deviation), gamma), beta)
