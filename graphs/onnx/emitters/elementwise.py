"""Element by element, softmax and reductions."""

from __future__ import annotations

import math

from coopdraw.graphs.onnx.emission import NodeEmitter, rule
from coopdraw.graphs.types import DType

_SAME_FORM = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "maximum": "Max",
    "minimum": "Min",
    "equal": "Equal",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_not": "Not",
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "sign": "Sign",
    "select": "Where",
}
_GELU_OPSET = 20
_AXES_AS_INPUT = 18
"""The first opset in which every reduction takes its axes as an input, as ReduceSum does since 13."""


@rule(*_SAME_FORM)
def same_form(emitter: NodeEmitter) -> list[str]:
    return [emitter.add(_SAME_FORM[emitter.node.operator], *emitter.inputs)]


@rule("not_equal")
def not_equal(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Not", emitter.add("Equal", *emitter.inputs))]


@rule("square")
def square(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Mul", emitter.inputs[0], emitter.inputs[0])]


@rule("rsqrt")
def rsqrt(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Reciprocal", emitter.add("Sqrt", *emitter.inputs))]


@rule("silu")
def silu(emitter: NodeEmitter) -> list[str]:
    """Swish is an operator since opset 24, which ONNX Runtime computes more slowly than these two, which it fuses."""
    return [emitter.add("Mul", emitter.inputs[0], emitter.add("Sigmoid", *emitter.inputs))]


@rule("gelu")
def gelu(emitter: NodeEmitter) -> list[str]:
    approximate, (x,) = emitter.text("approximate"), emitter.inputs
    if emitter.scope.form.opset >= _GELU_OPSET:
        return [emitter.add("Gelu", x, approximate=approximate)]
    dtype = emitter.result.dtype
    if approximate == "tanh":
        cube = emitter.add("Mul", emitter.add("Mul", x, x), x)
        inner = emitter.add("Add", x, emitter.add("Mul", cube, emitter.scalar(0.044715, dtype)))
        bell = emitter.add("Tanh", emitter.add("Mul", inner, emitter.scalar(math.sqrt(2.0 / math.pi), dtype)))
    else:
        bell = emitter.add("Erf", emitter.add("Div", x, emitter.scalar(math.sqrt(2.0), dtype)))
    gate = emitter.add("Add", bell, emitter.scalar(1.0, dtype))
    return [emitter.add("Mul", emitter.add("Mul", x, gate), emitter.scalar(0.5, dtype))]


@rule("softmax")
def softmax(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Softmax", *emitter.inputs, axis=emitter.integer("axis"))]


@rule("clamp")
def clamp(emitter: NodeEmitter) -> list[str]:
    result = emitter.inputs[0]
    for op_type, name in (("Max", "minimum"), ("Min", "maximum")):
        if emitter.node.attributes[name] is not None:
            result = emitter.add(op_type, result, emitter.scalar(emitter.number(name), emitter.result.dtype))
    return [result]


@rule("cast")
def cast(emitter: NodeEmitter) -> list[str]:
    return [emitter.cast(emitter.inputs[0], DType(emitter.text("dtype")))]


_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_mean": "ReduceMean",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
}


@rule(*_REDUCTIONS)
def reduction(emitter: NodeEmitter) -> list[str]:
    operator, axes, keepdims = emitter.node.operator, emitter.integers("axes"), int(emitter.flag("keepdims"))
    if operator == "reduce_sum" or emitter.scope.form.opset >= _AXES_AS_INPUT:
        return [emitter.add(_REDUCTIONS[operator], *emitter.inputs, emitter.shape(axes), keepdims=keepdims)]
    return [emitter.add(_REDUCTIONS[operator], *emitter.inputs, axes=axes, keepdims=keepdims)]
