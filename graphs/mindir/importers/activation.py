"""Activations and softmax."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_PLAIN = {"Sigmoid": "sigmoid", "SiLU": "silu", "ReLU": "relu"}


@primitive(*_PLAIN)
def plain(call: PrimitiveCall) -> Imported:
    return call.add(_PLAIN[call.operator], call.tensor(0))


@primitive("GeLU")
def gelu_tanh(call: PrimitiveCall) -> Imported:
    return call.add("gelu", call.tensor(0), approximate="tanh")


@primitive("GeluExt")
def gelu(call: PrimitiveCall) -> Imported:
    return call.add("gelu", call.tensor(0), approximate="tanh" if call.integer(1) == 1 else "none")


@primitive("MishExt", "Mish")
def mish(call: PrimitiveCall) -> Imported:
    """x * tanh(softplus(x))."""
    x = call.tensor(0)
    return call.add("mul", x, call.add("tanh", _softplus(call, x)))


@primitive("SoftplusExt", "Softplus")
def softplus(call: PrimitiveCall) -> Imported:
    """mint's has beta and a threshold, above which it gives x itself: equal up to exp(-threshold)."""
    if call.argument(1) is not None and call.number(1) != 1.0:
        raise call.error("has a beta; multiply before and divide after instead")
    if call.argument(2) is not None and call.number(2) < _LEAST_THRESHOLD:
        raise call.error(f"has a threshold below {_LEAST_THRESHOLD}; leave it at 20")
    return _softplus(call, call.tensor(0))


_LEAST_THRESHOLD = 16.0  # exp(-16) is below half a unit in the last place of a float32 16


def _softplus(call: PrimitiveCall, x: Value) -> Value:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)), which never overflows."""
    one = call.tensor_of(1.0, x.type.dtype)
    small = call.add("exp", call.add("neg", call.add("abs", x)))
    return call.add("add", call.add("relu", x), call.add("log", call.add("add", one, small)))


@primitive("Softmax")
def softmax(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    axes = call.integers(1) if call.argument(1) is not None else call.integers_attribute("axis")
    if len(axes) != 1:
        raise call.error("has several axes; flatten them first")
    return call.add("softmax", x, axis=call.axis(axes[0], len(x.type.shape)))
