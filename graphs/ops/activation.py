"""Activation functions and softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.elementwise import flops_per_element, unary
from coopdraw.graphs.ops.erf import erf
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType

unary("tanh", checks.floating, np.tanh)
unary("erf", checks.floating, erf)
unary("sigmoid", checks.floating, lambda x: 1.0 / (1.0 + np.exp(-x)), flops=3)
unary("silu", checks.floating, lambda x: x / (1.0 + np.exp(-x)), flops=3)
unary("relu", checks.numeric, lambda x: np.maximum(x, 0))


def _infer_gelu(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    checks.floating(inputs[0])
    checks.choice(attributes, "approximate", ("none", "tanh"))
    return (inputs[0],)


def _gelu(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x: np.ndarray = inputs[0].astype(np.float64)  # 1 + erf(x) and 1 + tanh(x) cancel for negative x
    if attributes["approximate"] == "tanh":
        return np.asarray(0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x))))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def _flops_gelu(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return (9 if attributes["approximate"] == "tanh" else 5) * outputs[0].size


register(Operator("gelu", 1, 1, {"approximate": (str,)}, _infer_gelu, rounded(_gelu), _flops_gelu))


def _infer_softmax(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    checks.floating(inputs[0])
    checks.axis(attributes, len(inputs[0].shape))
    return (inputs[0],)


def _softmax(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    (x,) = inputs
    axis = attributes["axis"]
    assert isinstance(axis, int)
    result: np.ndarray = np.exp(x - np.max(x, axis=axis, keepdims=True))
    result /= np.sum(result, axis=axis, keepdims=True)
    return result


register(Operator("softmax", 1, 1, {"axis": (int,)}, _infer_softmax, rounded(_softmax), flops_per_element(5)))
