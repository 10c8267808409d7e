"""Activations and softmax."""

from __future__ import annotations

from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule

ACTIVATION_TYPES = {"relu": 1, "sigmoid": 2, "silu": 18, "gelu": 19}
"""ActivationType of mindspore/core/mindapi/base/types.h."""


def activate(emitter: LiteEmitter, name: str, operator: str) -> str:
    return emitter.add("Activation", name, activation_type=ACTIVATION_TYPES[operator])


@lite_rule("relu", "sigmoid", "silu")
def activation(emitter: LiteEmitter) -> list[str]:
    return [activate(emitter, emitter.inputs[0], emitter.node.operator)]


@lite_rule("tanh")
def tanh(emitter: LiteEmitter) -> list[str]:
    """2 sigmoid(2x) - 1: Lite's Tanh is 1e-4 off."""
    dtype = emitter.result.dtype
    gate = activate(emitter, emitter.add("Mul", *emitter.inputs, emitter.scalar(2.0, dtype)), "sigmoid")
    doubled = emitter.add("Mul", gate, emitter.scalar(2.0, dtype))
    return [emitter.add("Sub", doubled, emitter.scalar(1.0, dtype))]


@lite_rule("gelu")
def gelu(emitter: LiteEmitter) -> list[str]:
    """The erf form is Lite's own; its tanh form uses a tanh that is 1e-4 off, hence x sigmoid(2u)."""
    x, dtype = emitter.inputs[0], emitter.result.dtype
    if emitter.node.attributes["approximate"] == "none":
        return [emitter.add("Activation", x, activation_type=ACTIVATION_TYPES["gelu"], approximate=False)]
    cubic = emitter.add("Mul", emitter.add("Mul", x, x), emitter.scalar(2.0 * _ROOT * 0.044715, dtype))
    slope = emitter.add("Add", cubic, emitter.scalar(2.0 * _ROOT, dtype))
    return [emitter.add("Mul", x, activate(emitter, emitter.add("Mul", x, slope), "sigmoid"))]


_ROOT = (2.0 / 3.141592653589793) ** 0.5


@lite_rule("softmax")
def softmax(emitter: LiteEmitter) -> list[str]:
    return [emitter.add("Softmax", *emitter.inputs, axis=(emitter.integer("axis"),))]
