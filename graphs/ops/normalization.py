"""Group and layer normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.elementwise import flops_per_element
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType

_FLOPS_PER_ELEMENT = 8  # mean 1, variance 3, normalise 2, scale and shift 2


def _epsilon(attributes: Attributes) -> float:
    epsilon = attributes["epsilon"]
    assert isinstance(epsilon, float)
    if not 0.0 <= epsilon < float("inf"):
        raise GraphError(f"epsilon is {epsilon}, but must be finite and not negative")
    return epsilon


def _normalised(rows: np.ndarray, epsilon: float) -> np.ndarray:
    """Zero mean and unit (biased) variance along the last axis."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + rows.dtype.type(epsilon)))


def _infer_group_norm(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    x, gamma, beta = inputs
    checks.floating(x)
    checks.same_dtype(inputs)
    if len(x.shape) < 2:
        raise GraphError(f"x is {x}, but must have a batch and a channel dimension; reshape it")
    checks.exact_shape(gamma, x.shape[1:2], "gamma")
    checks.exact_shape(beta, x.shape[1:2], "beta")
    groups = checks.positive_integer(attributes, "groups")
    if x.shape[1] % groups:
        raise GraphError(f"x is {x}, whose {x.shape[1]} channels don't divide into {groups} groups; fix groups")
    _epsilon(attributes)
    return (x,)


def _group_norm(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x, gamma, beta = inputs
    groups = checks.positive_integer(attributes, "groups")
    normalised = _normalised(x.reshape(x.shape[0], groups, -1), _epsilon(attributes)).reshape(x.shape)
    channelwise = (-1, *[1] * (x.ndim - 2))
    return np.asarray(normalised * gamma.reshape(channelwise) + beta.reshape(channelwise))


register(
    Operator(
        "group_norm",
        3,
        3,
        {"groups": (int,), "epsilon": (float,)},
        _infer_group_norm,
        rounded(_group_norm),
        flops_per_element(_FLOPS_PER_ELEMENT),
    )
)


def _infer_layer_norm(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    x, gamma, beta = inputs
    checks.floating(x)
    checks.same_dtype(inputs)
    if not 1 <= len(gamma.shape) <= len(x.shape):
        raise GraphError(f"gamma is {gamma}, but must have 1 to {len(x.shape)} dimensions, as x is {x}")
    checks.exact_shape(gamma, x.shape[-len(gamma.shape) :], "gamma")
    checks.exact_shape(beta, gamma.shape, "beta")
    _epsilon(attributes)
    return (x,)


def _layer_norm(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x, gamma, beta = inputs
    rows = x.reshape(*x.shape[: x.ndim - gamma.ndim], -1)
    return np.asarray(_normalised(rows, _epsilon(attributes)).reshape(x.shape) * gamma + beta)


register(
    Operator(
        "layer_norm",
        3,
        3,
        {"epsilon": (float,)},
        _infer_layer_norm,
        rounded(_layer_norm),
        flops_per_element(_FLOPS_PER_ELEMENT),
    )
)
