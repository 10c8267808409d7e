"""A weighted sum of tensors: what guidance, a sampler's step and the mixing of predictions come to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, register
from coopdraw.graphs.types import TensorType


def _weights(attributes: Attributes) -> tuple[float, ...]:
    weights = attributes["weights"]
    assert isinstance(weights, tuple)
    if not all(isinstance(weight, float) and math.isfinite(weight) for weight in weights):
        raise GraphError(f"weights are {list(weights)}, but must be finite floats")
    return weights


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    checks.floating(inputs[0])
    for type in inputs[1:]:
        if type != inputs[0]:
            raise GraphError(f"operands are {inputs[0]} and {type}; they must have one type")
    if len(_weights(attributes)) != len(inputs):
        raise GraphError(f"there are {len(inputs)} operands, but {len(_weights(attributes))} weights; give one each")
    return (inputs[0],)


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    total = np.zeros(inputs[0].shape, np.float64)
    for array, weight in zip(inputs, _weights(attributes), strict=True):
        total += weight * array.astype(np.float64)
    return total


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return (2 * len(inputs) - 1) * outputs[0].size


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    total: Value | None = None
    for value, weight in zip(values, _weights(attributes), strict=True):
        scaled = _scaled(maker, value, abs(weight) if total is not None else weight)
        total = scaled if total is None else maker.add("sub" if weight < 0 else "add", total, scaled)
    assert total is not None
    return (total,)


def _scaled(maker: Maker, value: Value, weight: float) -> Value:
    if weight == 1.0:
        return value
    return maker.add("mul", value, maker.constant(np.asarray(weight, value.type.dtype.numpy)))


register(
    Operator(
        "linear_combination",
        1,
        None,
        {"weights": (tuple,)},
        _infer,
        rounded(_reference),
        _flops,
        _decompose,
    )
)
