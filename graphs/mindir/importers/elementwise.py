"""Elementwise primitives: arithmetic, comparisons, rounding, casts and masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.codes import dtype_of_type_id
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive
from coopdraw.graphs.types import DType

_BINARY = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Muls": "mul",
    "Div": "div",
    "Divs": "div",
    "RealDiv": "div",
    "Pow": "pow",
    "PowTensorScalar": "pow",
    "PowScalarTensor": "pow",
    "Maximum": "maximum",
    "Minimum": "minimum",
}
_COMPARISONS = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
}
_UNARY = {
    "Neg": "neg",
    "Abs": "abs",
    "Exp": "exp",
    "Sqrt": "sqrt",
    "Rsqrt": "rsqrt",
    "Square": "square",
    "Reciprocal": "reciprocal",
    "Sin": "sin",
    "Cos": "cos",
    "Tanh": "tanh",
    "Erf": "erf",
    "Floor": "floor",
    "Ceil": "ceil",
    "Sign": "sign",
    "LogicalNot": "logical_not",
}


def operands(call: PrimitiveCall, result: DType | None) -> tuple[Value, Value]:
    """Both operands as tensors of one dtype: `result` if given, else the wider of the two."""
    tensors = [item for item in call.arguments[:2] if isinstance(item, (Value, np.ndarray))]
    dtypes = [item.type.dtype if isinstance(item, Value) else DType.of(item.dtype) for item in tensors]
    if not dtypes:
        raise call.error("has no tensor among its inputs; export the file again")
    common = result or _promoted(dtypes)
    left, right = call.tensor(0, common), call.tensor(1, common)
    return _as(call, left, common), _as(call, right, common)


def _promoted(dtypes: Sequence[DType]) -> DType:
    """MindSpore's rule where it differs from NumPy's: a floating type isn't widened for an integer it meets."""
    kept = [dtype for dtype in dtypes if dtype.is_floating] or list(dtypes)
    if set(kept) == {DType.FLOAT16, DType.BFLOAT16}:
        return DType.FLOAT32
    return DType.of(np.result_type(*(dtype.numpy for dtype in kept)))


def _as(call: PrimitiveCall, value: Value, dtype: DType) -> Value:
    return value if value.type.dtype is dtype else call.add("cast", value, dtype=str(dtype))


@primitive(*_BINARY)
def binary(call: PrimitiveCall) -> Imported:
    return call.add(_BINARY[call.operator], *operands(call, call.output_type().dtype if call.declared else None))


@primitive("AddExt", "SubExt", "AddScalar", "SubScalar")
def scaled_binary(call: PrimitiveCall) -> Imported:
    """x + alpha * y, x - alpha * y."""
    left, right = operands(call, call.output_type().dtype if call.declared else None)
    alpha = call.number(2) if call.argument(2) is not None else 1.0
    if alpha != 1.0:
        right = call.add("mul", right, call.tensor_of(alpha, right.type.dtype))
    return call.add("add" if call.operator.startswith("Add") else "sub", left, right)


@primitive(*_COMPARISONS)
def comparison(call: PrimitiveCall) -> Imported:
    return call.add(_COMPARISONS[call.operator], *operands(call, None))


@primitive(*_UNARY)
def unary(call: PrimitiveCall) -> Imported:
    return call.add(_UNARY[call.operator], call.tensor(0))


@primitive("Log")
def log(call: PrimitiveCall) -> Imported:
    """Natural logarithm only: MindSpore's primitive can also scale and shift."""
    plain = {"base": -1.0, "scale": 1.0, "shift": 0.0}
    if any(call.attributes.get(name, value) != value for name, value in plain.items()):
        raise call.error("has a base, scale or shift; write it with mul and add")
    return call.add("log", call.tensor(0))


@primitive("Round")
def round_(call: PrimitiveCall) -> Imported:
    if call.argument(1) is not None and call.integer(1) != 0:
        raise call.error("rounds to decimals; scale before and after instead")
    return call.add("round", call.tensor(0))


@primitive("ClampScalar")
def clamp(call: PrimitiveCall) -> Imported:
    bounds = [None if call.argument(i) is None else call.number(i) for i in (1, 2)]
    return call.add("clamp", call.tensor(0), minimum=bounds[0], maximum=bounds[1])


@primitive("Cast")
def cast(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    dtype = dtype_of_type_id(call.integer(1)) if call.argument(1) is not None else call.output_type().dtype
    return call.add("cast", x, dtype=str(dtype))


@primitive("Select")
def select(call: PrimitiveCall) -> Imported:
    dtype = call.output_type().dtype
    return call.add(
        "select", call.tensor(0), _as(call, call.tensor(1, dtype), dtype), _as(call, call.tensor(2, dtype), dtype)
    )


@primitive("MaskedFill", "MaskedFillScalar")
def masked_fill(call: PrimitiveCall) -> Imported:
    """x, mask, the value where the mask is true."""
    x = call.tensor(0)
    return call.add("select", call.tensor(1), _as(call, call.tensor(2, x.type.dtype), x.type.dtype), x)


@primitive("ZerosLike", "ZerosLikeExt")
def zeros_like(call: PrimitiveCall) -> Imported:
    return call.filled(0.0, call.output_type())


@primitive("OnesLike", "OnesLikeExt")
def ones_like(call: PrimitiveCall) -> Imported:
    return call.filled(1.0, call.output_type())


@primitive("FillScalar", "FullLike")
def full(call: PrimitiveCall) -> Imported:
    """shape or a tensor of that shape, value, dtype."""
    return call.filled(call.number(1), call.output_type())
