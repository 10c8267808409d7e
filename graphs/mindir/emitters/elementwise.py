"""Elementwise operators, comparisons, activations, casts and reductions."""

from __future__ import annotations

import math

from coopdraw.graphs.mindir.codes import TYPE_IDS
from coopdraw.graphs.mindir.emission import NodeEmitter, rule
from coopdraw.graphs.types import DType

_SAME_FORM = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "equal": "Equal",
    "not_equal": "NotEqual",
    "less": "Less",
    "less_equal": "LessEqual",
    "greater": "Greater",
    "greater_equal": "GreaterEqual",
    "logical_and": "LogicalAnd",
    "logical_or": "LogicalOr",
    "logical_not": "LogicalNot",
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "rsqrt": "Rsqrt",
    "square": "Square",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "relu": "ReLU",
    "floor": "Floor",
    "ceil": "Ceil",
    "sign": "Sign",
    "select": "Select",
}


@rule(*_SAME_FORM)
def same_form(emitter: NodeEmitter) -> list[str]:
    return [emitter.add(_SAME_FORM[emitter.node.operator], *emitter.inputs)]


@rule("round")
def round_(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Round", *emitter.inputs, emitter.constant(0))]


@rule("gelu")
def gelu(emitter: NodeEmitter) -> list[str]:
    """The erf form is written out: GeluExt has no CPU kernel."""
    x = emitter.inputs[0]
    if emitter.node.attributes["approximate"] == "tanh":
        return [emitter.add("GeLU", x)]
    dtype = emitter.result.dtype
    scaled = emitter.add("Mul", x, emitter.scalar(1.0 / math.sqrt(2.0), dtype))
    gate = emitter.add("Add", emitter.add("Erf", scaled), emitter.scalar(1.0, dtype))
    return [emitter.add("Mul", emitter.add("Mul", x, emitter.scalar(0.5, dtype)), gate)]


@rule("softmax")
def softmax(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Softmax", *emitter.inputs, emitter.constant((emitter.integer("axis"),)))]


@rule("clamp")
def clamp(emitter: NodeEmitter) -> list[str]:
    result = emitter.inputs[0]
    for primitive, name in (("Maximum", "minimum"), ("Minimum", "maximum")):
        if emitter.node.attributes[name] is not None:
            result = emitter.add(primitive, result, emitter.scalar(emitter.number(name), emitter.result.dtype))
    return [result]


@rule("cast")
def cast(emitter: NodeEmitter) -> list[str]:
    dtype = DType(str(emitter.node.attributes["dtype"]))
    return [emitter.add("Cast", *emitter.inputs, emitter.constant(TYPE_IDS[dtype]))]


_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_mean": "ReduceMean",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
}


@rule(*_REDUCTIONS)
def reduction(emitter: NodeEmitter) -> list[str]:
    axes = emitter.constant(emitter.integers("axes"))
    keepdims = emitter.constant(bool(emitter.node.attributes["keepdims"]))
    # Only ReduceSum has a fourth input, skip_mode.
    extra = [emitter.constant(False)] if emitter.node.operator == "reduce_sum" else []
    return [emitter.add(_REDUCTIONS[emitter.node.operator], *emitter.inputs, axes, keepdims, *extra)]
