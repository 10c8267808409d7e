"""Elementwise primitives, comparisons, activations, casts and tuples."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.codes import dtype_of_type_id
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive
from coopdraw.graphs.types import DType

_BINARY = {
    "Add": "add",
    "Adds": "add",
    "Sub": "sub",
    "Subs": "sub",
    "Mul": "mul",
    "Muls": "mul",
    "Div": "div",
    "Divs": "div",
    "RealDiv": "div",
    "Pow": "pow",
    "PowTensorScalar": "pow",
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
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Swish": "silu",
    "ReLU": "relu",
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
    common = result or (dtypes[0] if len(set(dtypes)) == 1 else DType.of(np.result_type(*(d.numpy for d in dtypes))))
    left, right = call.tensor(0, common), call.tensor(1, common)
    return _as(call, left, common), _as(call, right, common)


def _as(call: PrimitiveCall, value: Value, dtype: DType) -> Value:
    return value if value.type.dtype is dtype else call.add("cast", value, dtype=str(dtype))


@primitive(*_BINARY)
def binary(call: PrimitiveCall) -> Imported:
    return call.add(_BINARY[call.operator], *operands(call, call.output_type().dtype if call.declared else None))


@primitive("AddExt", "SubExt")
def scaled_binary(call: PrimitiveCall) -> Imported:
    """x + alpha * y, x - alpha * y."""
    left, right = operands(call, call.output_type().dtype if call.declared else None)
    alpha = call.number(2) if call.argument(2) is not None else 1.0
    if alpha != 1.0:
        factor = call.builder.constant(np.asarray(alpha, right.type.dtype.numpy))
        right = call.add("mul", right, factor)
    return call.add("add" if call.operator == "AddExt" else "sub", left, right)


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


@primitive("GeLU")
def gelu_tanh(call: PrimitiveCall) -> Imported:
    return call.add("gelu", call.tensor(0), approximate="tanh")


@primitive("GeluExt")
def gelu(call: PrimitiveCall) -> Imported:
    return call.add("gelu", call.tensor(0), approximate="tanh" if call.integer(1) == 1 else "none")


@primitive("Softmax")
def softmax(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    axes = call.integers(1) if call.argument(1) is not None else call.integers_attribute("axis")
    if len(axes) != 1:
        raise call.error("has several axes; flatten them first")
    return call.add("softmax", x, axis=axes[0] % len(x.type.shape))


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


@primitive("ZerosLike", "ZerosLikeExt", "OnesLike", "OnesLikeExt")
def filled_like(call: PrimitiveCall) -> Imported:
    wanted = call.output_type()
    fill = np.zeros if call.operator.startswith("Zeros") else np.ones
    return call.builder.constant(fill(wanted.shape, wanted.dtype.numpy))


@primitive("Identity", "StopGradient", "Contiguous", "Copy", "Clone", "Return")
def passed_on(call: PrimitiveCall) -> Imported:
    return call.tensor(0)


@primitive("MakeTuple", "MakeList")
def make_tuple(call: PrimitiveCall) -> Imported:
    return tuple(call.arguments)


@primitive("TupleGetItem", "ListGetItem")
def tuple_get_item(call: PrimitiveCall) -> Imported:
    items, index = call.argument(0), call.integer(1)
    if isinstance(items, tuple) and -len(items) <= index < len(items):
        return items[index]
    if isinstance(items, Value) and index == 0:
        return items
    raise call.error(f"takes item {index} of something that doesn't have it; export the file again")
