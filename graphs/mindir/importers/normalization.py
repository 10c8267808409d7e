"""Group, layer and RMS normalisation. MindSpore's primitives also give statistics, which nothing here uses."""

from __future__ import annotations

from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("GroupNorm")
def group_norm(call: PrimitiveCall) -> Imported:
    """x, groups, gamma, beta, epsilon."""
    result = call.add(
        "group_norm", call.tensor(0), call.tensor(2), call.tensor(3), groups=call.integer(1), epsilon=call.number(4)
    )
    return (result, None, None)


@primitive("LayerNorm")
def layer_norm(call: PrimitiveCall) -> Imported:
    """x, gamma, beta, begin_norm_axis, begin_params_axis, epsilon."""
    x, gamma, beta = (call.tensor(index) for index in range(3))
    rank = len(x.type.shape)
    if {call.axis(call.integer(index), rank) for index in (3, 4)} != {rank - len(gamma.type.shape)}:
        raise call.error("normalises other axes than gamma has; give both the same axes")
    return (call.add("layer_norm", x, gamma, beta, epsilon=call.number(5)), None, None)


@primitive("LayerNormExt")
def layer_norm_ext(call: PrimitiveCall) -> Imported:
    """mint.nn.LayerNorm: x, normalized_shape, gamma, beta, epsilon."""
    x, gamma, beta = call.tensor(0), call.tensor(2), call.tensor(3)
    if call.integers(1) != gamma.type.shape:
        raise call.error("normalises another shape than gamma has; give both the same shape")
    return (call.add("layer_norm", x, gamma, beta, epsilon=call.number(4)), None, None)


@primitive("RmsNorm")
def rms_norm(call: PrimitiveCall) -> Imported:
    """x / sqrt(mean(x^2) + epsilon) * gamma over the axes of gamma; x, gamma, epsilon."""
    x, gamma = call.tensor(0), call.tensor(1)
    rank = len(x.type.shape)
    axes = tuple(range(rank - len(gamma.type.shape), rank))
    mean = call.add("reduce_mean", call.add("square", x), axes=axes, keepdims=True)
    scale = call.add("rsqrt", call.add("add", mean, call.tensor_of(call.number(2), x.type.dtype)))
    return (call.add("mul", call.add("mul", x, scale), gamma), None)
