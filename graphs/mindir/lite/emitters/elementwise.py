"""Arithmetic, comparisons, casts and reductions."""

from __future__ import annotations

from coopdraw.graphs.mindir.codes import TYPE_IDS
from coopdraw.graphs.mindir.emitters.elementwise import clamp
from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule
from coopdraw.graphs.types import DType, TensorType

_SAME_FORM = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
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
    "square": "Square",
    "reciprocal": "Reciprocal",
    "sin": "Sin",
    "erf": "Erf",
    "floor": "Floor",
    "ceil": "Ceil",
}


@lite_rule(*_SAME_FORM)
def same_form(emitter: LiteEmitter) -> list[str]:
    return [emitter.add(_SAME_FORM[emitter.node.operator], *emitter.inputs)]


@lite_rule("pow")
def power(emitter: LiteEmitter) -> list[str]:
    """Lite's Pow takes an exponent of one element or of the base's shape."""
    base, exponent = emitter.operand(0), emitter.operand(1)
    if base.shape != emitter.result.shape or exponent.shape not in ((1,), base.shape):
        return [emitter.add("Pow", *(_spread(emitter, index) for index in (0, 1)))]
    return [emitter.add("Pow", *emitter.inputs)]


def _spread(emitter: LiteEmitter, index: int) -> str:
    """The input, broadcast to the result's shape."""
    if emitter.operand(index).shape == emitter.result.shape:
        return emitter.inputs[index]
    type = TensorType(emitter.operand(index).dtype, emitter.result.shape)
    return emitter.add("BroadcastTo", emitter.inputs[index], type=type, shape=type.shape)


@lite_rule("rsqrt")
def rsqrt(emitter: LiteEmitter) -> list[str]:
    """Lite's Rsqrt is 1e-3 off."""
    return [emitter.add("Reciprocal", emitter.add("Sqrt", *emitter.inputs))]


@lite_rule("cos")
def cos(emitter: LiteEmitter) -> list[str]:
    """1 - 2 sin(x/2)^2, which loses nothing at large x: Lite's Cos is 2e-3 off."""
    dtype = emitter.result.dtype
    half = emitter.add("Sin", emitter.add("Mul", *emitter.inputs, emitter.scalar(0.5, dtype)))
    doubled = emitter.add("Mul", emitter.add("Mul", half, half), emitter.scalar(2.0, dtype))
    return [emitter.add("Sub", emitter.scalar(1.0, dtype), doubled)]


@lite_rule("sign")
def sign(emitter: LiteEmitter) -> list[str]:
    """(x > 0) - (x < 0): Lite has no Sign."""
    zero = emitter.scalar(0.0, emitter.result.dtype)
    parts = [_as_number(emitter, emitter.add(name, *emitter.inputs, zero, type=_flags(emitter))) for name in _SIDES]
    return [emitter.add("Sub", *parts)]


_SIDES = ("Greater", "Less")


def _flags(emitter: LiteEmitter) -> TensorType:
    return TensorType(DType.BOOL, emitter.result.shape)


def _as_number(emitter: LiteEmitter, flags: str) -> str:
    return emitter.add("Cast", flags, emitter.constant(TYPE_IDS[emitter.result.dtype]))


@lite_rule("select")
def select(emitter: LiteEmitter) -> list[str]:
    """Lite's Where takes operands of one shape."""
    return [emitter.add("Where", *(_spread(emitter, index) for index in range(3)))]


lite_rule("clamp")(clamp)


@lite_rule("cast")
def cast(emitter: LiteEmitter) -> list[str]:
    if emitter.operand(0) == emitter.result:
        return list(emitter.inputs)
    return [_as_number(emitter, emitter.inputs[0])]


_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_mean": "ReduceMean",
    "reduce_min": "ReduceMin",
}


@lite_rule(*_REDUCTIONS)
def reduction(emitter: LiteEmitter) -> list[str]:
    return [_reduced(emitter, emitter.inputs[0], _REDUCTIONS[emitter.node.operator])]


@lite_rule("reduce_max")
def reduce_max(emitter: LiteEmitter) -> list[str]:
    """-min(-x): Lite's ReduceMax gives 0 for some negative maxima."""
    negative = emitter.add("Neg", *emitter.inputs, type=emitter.operand(0))
    return [emitter.add("Neg", _reduced(emitter, negative, "ReduceMin"))]


def _reduced(emitter: LiteEmitter, name: str, primitive: str) -> str:
    """Axes stay for the kernel; a reshape takes them away where they must go."""
    axes, shape = emitter.integers("axes"), emitter.operand(0).shape
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    type = TensorType(emitter.result.dtype, kept)
    name = emitter.add(primitive, name, emitter.constant(axes), type=type, keep_dims=True)
    return name if kept == emitter.result.shape else emitter.reshape(name, emitter.result.shape)
