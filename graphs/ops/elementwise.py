"""Element by element: arithmetic, comparison, logic, rounding, cast and select."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded, widen
from coopdraw.graphs.ops.table import Attributes, Flops, Operator, register
from coopdraw.graphs.types import DType, TensorType


def flops_per_element(count: int) -> Flops:
    """`count` operations for each element of the first output."""

    def flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
        return count * outputs[0].size

    return flops


def unary(name: str, accepts: checks.DTypeCheck, function: Callable[[np.ndarray], np.ndarray], flops: int = 1) -> None:
    """Registers `name`: one operand, the result has its type."""

    def infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
        accepts(inputs[0])
        return (inputs[0],)

    reference = rounded(lambda inputs, attributes: function(inputs[0]))
    register(Operator(name, 1, 1, {}, infer, reference, flops_per_element(flops)))


def _infer_broadcast(accepts: checks.DTypeCheck, inputs: Sequence[TensorType]) -> TensorType:
    for operand in inputs:
        accepts(operand)
    checks.same_dtype(inputs)
    return TensorType(inputs[0].dtype, checks.broadcast(*(operand.shape for operand in inputs)))


def _binary(
    name: str, accepts: checks.DTypeCheck, function: Callable[[np.ndarray, np.ndarray], np.ndarray], flops: int = 1
) -> None:
    def infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
        return (_infer_broadcast(accepts, inputs),)

    reference = rounded(lambda inputs, attributes: function(*inputs))
    register(Operator(name, 2, 2, {}, infer, reference, flops_per_element(flops)))


def _comparison(
    name: str, accepts: checks.DTypeCheck, function: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    def infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
        return (TensorType(DType.BOOL, _infer_broadcast(accepts, inputs).shape),)

    def reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
        return (function(*(widen(array) for array in inputs)),)

    register(Operator(name, 2, 2, {}, infer, reference, flops_per_element(1)))


_binary("add", checks.numeric, np.add)
_binary("sub", checks.numeric, np.subtract)
_binary("mul", checks.numeric, np.multiply)
_binary("div", checks.floating, np.divide)
_binary("pow", checks.floating, np.power)
_binary("maximum", checks.numeric, np.maximum)
_binary("minimum", checks.numeric, np.minimum)
_binary("logical_and", checks.boolean, np.logical_and, flops=0)
_binary("logical_or", checks.boolean, np.logical_or, flops=0)

_comparison("equal", checks.anything, np.equal)
_comparison("not_equal", checks.anything, np.not_equal)
_comparison("less", checks.numeric, np.less)
_comparison("less_equal", checks.numeric, np.less_equal)
_comparison("greater", checks.numeric, np.greater)
_comparison("greater_equal", checks.numeric, np.greater_equal)

unary("logical_not", checks.boolean, np.logical_not, flops=0)
unary("neg", checks.numeric, np.negative)
unary("abs", checks.numeric, np.abs)
unary("sign", checks.numeric, np.sign)
unary("square", checks.numeric, np.square)
unary("exp", checks.floating, np.exp)
unary("log", checks.floating, np.log)
unary("sqrt", checks.floating, np.sqrt)
unary("rsqrt", checks.floating, lambda x: 1.0 / np.sqrt(x), flops=2)
unary("reciprocal", checks.floating, lambda x: 1.0 / x)
unary("sin", checks.floating, np.sin)
unary("cos", checks.floating, np.cos)
unary("floor", checks.floating, np.floor)
unary("ceil", checks.floating, np.ceil)
unary("round", checks.floating, np.rint)  # halves go to the even neighbour, as in torch, MindSpore and ONNX


def _infer_clamp(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    checks.numeric(inputs[0])
    for key in ("minimum", "maximum"):
        bound = attributes[key]
        if isinstance(bound, float):
            checks.fits(bound, inputs[0].dtype)
    return (inputs[0],)


def _clamp(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    (x,) = inputs
    minimum, maximum = attributes["minimum"], attributes["maximum"]
    if isinstance(minimum, float):
        x = np.maximum(x, np.asarray(minimum).astype(x.dtype))
    if isinstance(maximum, float):
        x = np.minimum(x, np.asarray(maximum).astype(x.dtype))
    return x


_BOUND = (float, type(None))
register(
    Operator("clamp", 1, 1, {"minimum": _BOUND, "maximum": _BOUND}, _infer_clamp, rounded(_clamp), flops_per_element(2))
)


def _infer_cast(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    dtype = checks.choice(attributes, "dtype", tuple(DType))
    return (TensorType(DType(dtype), inputs[0].shape),)


def _cast(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return (inputs[0].astype(DType(str(attributes["dtype"])).numpy, copy=False),)


register(Operator("cast", 1, 1, {"dtype": (str,)}, _infer_cast, _cast))


def _infer_select(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    condition, a, b = inputs
    if condition.dtype is not DType.BOOL:
        raise GraphError(f"the condition is {condition}, but must be bool; compare it with zero first")
    checks.same_dtype((a, b))
    return (TensorType(a.dtype, checks.broadcast(condition.shape, a.shape, b.shape)),)


def _select(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    condition, a, b = inputs
    return (np.where(condition, a, b),)


register(Operator("select", 3, 3, {}, _infer_select, _select))
