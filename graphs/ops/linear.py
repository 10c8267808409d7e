"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType


def _matrix_shape(type: TensorType, transposed: object, operand: str) -> tuple[int, int]:
    checks.floating(type)
    if len(type.shape) < 2:
        raise GraphError(f"{operand} is {type}, but must have at least 2 dimensions; reshape it")
    rows, columns = type.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _infer_matmul(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    a, b = inputs
    checks.same_dtype(inputs)
    rows, inner = _matrix_shape(a, attributes["transpose_a"], "a")
    other_inner, columns = _matrix_shape(b, attributes["transpose_b"], "b")
    if inner != other_inner:
        raise GraphError(f"a is {a} and b is {b}, so {inner} meets {other_inner}; fix an operand or a transpose")
    return (TensorType(a.dtype, (*checks.broadcast(a.shape[:-2], b.shape[:-2]), rows, columns)),)


def _matmul(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    a, b = inputs
    if attributes["transpose_a"]:
        a = np.swapaxes(a, -1, -2)
    if attributes["transpose_b"]:
        b = np.swapaxes(b, -1, -2)
    return np.asarray(np.matmul(a, b))


def _flops_matmul(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return 2 * outputs[0].size * inputs[0].shape[-2 if attributes["transpose_a"] else -1]


register(
    Operator(
        "matmul",
        2,
        2,
        {"transpose_a": (bool,), "transpose_b": (bool,)},
        _infer_matmul,
        rounded(_matmul),
        _flops_matmul,
    )
)


def _infer_linear(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    x, weight = inputs[:2]
    checks.floating(x)
    checks.same_dtype(inputs)
    checks.rank(weight, 2, "the weight")
    if not x.shape or x.shape[-1] != weight.shape[1]:
        raise GraphError(f"x is {x}, but its last extent must be {weight.shape[1]} for a weight of {weight}")
    if len(inputs) == 3:
        checks.exact_shape(inputs[2], weight.shape[:1], "the bias")
    return (TensorType(x.dtype, (*x.shape[:-1], weight.shape[0])),)


def _linear(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x, weight = inputs[:2]
    result: np.ndarray = np.matmul(x.reshape(-1, x.shape[-1]), weight.T)
    if len(inputs) == 3:
        result += inputs[2]
    return result.reshape(*x.shape[:-1], weight.shape[0])


def _flops_linear(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return outputs[0].size * (2 * inputs[1].shape[1] + len(inputs) - 2)


register(Operator("linear", 2, 3, {}, _infer_linear, rounded(_linear), _flops_linear))
