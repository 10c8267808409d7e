"""Layer normalisation of a sum, which transformer blocks also hand on: the residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import widen
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, infer, lookup, register
from coopdraw.graphs.types import TensorType


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    """x (..., C), gamma (C), beta (C), added as x."""
    x, gamma, _, added = inputs
    checks.rank(gamma, 1, "gamma")
    infer("layer_norm", inputs[:3], {"epsilon": attributes["epsilon"]})
    checks.same_dtype(inputs)
    checks.exact_shape(added, x.shape, "added")
    return (x, x) if attributes["keep_sum"] else (x,)


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    x, gamma, beta, added = (widen(array) for array in inputs)
    epsilon = attributes["epsilon"]
    total = x + added
    mean, variance = total.mean(axis=-1, keepdims=True), total.var(axis=-1, keepdims=True)
    y = (total - mean) / np.sqrt(variance + total.dtype.type(epsilon)) * gamma + beta
    results = (y, total) if attributes["keep_sum"] else (y,)
    return [np.asarray(result).astype(inputs[0].dtype, copy=False) for result in results]


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    norm = lookup("layer_norm").flops(inputs[:3], outputs[:1], {"epsilon": attributes["epsilon"]})
    return norm + outputs[0].size


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    x, gamma, beta, added = values
    total = maker.add("add", x, added)
    y = maker.add("layer_norm", total, gamma, beta, epsilon=attributes["epsilon"])
    return (y, total) if attributes["keep_sum"] else (y,)


register(
    Operator(
        "fused_layer_norm",
        4,
        4,
        {"epsilon": (float,), "keep_sum": (bool,)},
        _infer,
        _reference,
        _flops,
        _decompose,
    )
)
