"""Group and layer normalisation. MindSpore's primitives also give mean and variance, which nothing here uses."""

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
    begin = call.integer(3) % rank if call.argument(3) is not None else call.integer_attribute("begin_norm_axis") % rank
    if rank - begin != len(gamma.type.shape):
        raise call.error("normalises other axes than gamma has; give both the same axes")
    epsilon = call.number(5) if call.argument(5) is not None else float(str(call.attributes.get("epsilon", 1e-7)))
    return (call.add("layer_norm", x, gamma, beta, epsilon=epsilon), None, None)


@primitive("LayerNormExt")
def layer_norm_ext(call: PrimitiveCall) -> Imported:
    """mint.nn.LayerNorm: x, normalized_shape, gamma, beta, epsilon."""
    x, gamma, beta = call.tensor(0), call.tensor(2), call.tensor(3)
    return (call.add("layer_norm", x, gamma, beta, epsilon=call.number(4)), None, None)
