"""A bias and an activation where no product can take the bias."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.erf import erf
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, lookup, register
from coopdraw.graphs.types import TensorType

OPERATORS: Mapping[str, tuple[str, Attributes] | None] = {
    "none": None,
    "relu": ("relu", {}),
    "silu": ("silu", {}),
    "gelu": ("gelu", {"approximate": "none"}),
    "gelu_tanh": ("gelu", {"approximate": "tanh"}),
}
"""The operator of the table, with its attributes, that each activation stands for."""


def _gelu(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * x * (1.0 + erf(x / math.sqrt(2.0))))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))))


_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    """x (..., C, ...), bias (C), where C is the extent of `axis`."""
    x, bias = inputs
    checks.floating(x)
    checks.same_dtype(inputs)
    checks.choice(attributes, "activation", tuple(OPERATORS))
    axis = checks.axis(attributes, len(x.shape))
    checks.exact_shape(bias, (x.shape[axis],), "the bias")
    return (x,)


def _along(shape: tuple[int, ...], attributes: Attributes) -> tuple[int, ...]:
    """The bias' shape in front of x's further axes."""
    axis = attributes["axis"]
    assert isinstance(axis, int)
    return (shape[axis], *[1] * (len(shape) - axis - 1))


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x, bias = inputs
    total = x + bias.reshape(_along(x.shape, attributes))
    # in float64, since 1 + erf(x) and 1 + tanh(x) cancel for negative x
    return _FUNCTIONS[str(attributes["activation"])](total.astype(np.float64)).astype(total.dtype)


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    activation = OPERATORS[str(attributes["activation"])]
    after = lookup(activation[0]).flops(outputs, outputs, activation[1]) if activation else 0
    return outputs[0].size + after


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    x, bias = values
    total = maker.add("add", x, maker.add("reshape", bias, shape=_along(x.type.shape, attributes)))
    activation = OPERATORS[str(attributes["activation"])]
    return (maker.add(activation[0], total, **activation[1]) if activation else total,)


register(
    Operator(
        "bias_activation",
        2,
        2,
        {"axis": (int,), "activation": (str,)},
        _infer,
        rounded(_reference),
        _flops,
        _decompose,
    )
)
