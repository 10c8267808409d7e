"""(x - mean) / sqrt(variance + epsilon) written out in plain operators: what norms have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.fusions.chains import constant_factor
from coopdraw.graphs.passes.fusions.scalars import constant_number


@dataclass(frozen=True)
class Standardised:
    """x with zero mean and unit variance over `axes`."""

    x: Value
    axes: tuple[int, ...]
    epsilon: float


def find_standardised(graph: Graph, value: Value) -> Standardised | None:
    """What `value` standardises; the deviation may be divided by, or its inverse multiplied with."""
    node = graph.producers.get(value)
    if node is None or node.operator not in ("mul", "div"):
        return None
    for centred, deviation in (node.inputs,) if node.operator == "div" else (node.inputs, node.inputs[::-1]):
        radicand = _radicand(graph, deviation, inverse=node.operator == "mul")
        found = _centred(graph, centred)
        variance, epsilon = _split_epsilon(graph, radicand) if radicand else (None, 0.0)
        if found and variance and _is_variance(graph, variance, found) and value.type == found[0].type:
            return Standardised(*found, epsilon)
    return None


def _radicand(graph: Graph, value: Value, inverse: bool) -> Value | None:
    """v where value is sqrt(v), or 1 / sqrt(v) if `inverse`."""
    node = graph.producers.get(value)
    if node is None:
        return None
    if node.operator == ("rsqrt" if inverse else "sqrt"):
        return node.inputs[0]
    if node.operator == "pow" and constant_number(graph, node.inputs[1]) == (-0.5 if inverse else 0.5):
        return node.inputs[0]
    if inverse and node.operator == "reciprocal":
        return _radicand(graph, node.inputs[0], inverse=False)
    if inverse and node.operator == "div" and constant_number(graph, node.inputs[0]) == 1.0:
        return _radicand(graph, node.inputs[1], inverse=False)
    return None


def _split_epsilon(graph: Graph, value: Value) -> tuple[Value | None, float]:
    """v and epsilon where value is v + epsilon."""
    node = graph.producers.get(value)
    if node is None or node.operator != "add":
        return None, 0.0
    for variance, constant in (node.inputs, node.inputs[::-1]):
        epsilon = constant_number(graph, constant)
        if epsilon is not None and epsilon >= 0.0 and math.isfinite(epsilon) and variance.type == value.type:
            return variance, epsilon
    return None, 0.0


def _centred(graph: Graph, value: Value) -> tuple[Value, tuple[int, ...]] | None:
    """x and axes where value is x - mean(x)."""
    node = graph.producers.get(value)
    if node is None or node.operator != "sub":
        return None
    found = _mean(graph, node.inputs[1])
    return found if found is not None and found[0] is node.inputs[0] else None


def _is_variance(graph: Graph, value: Value, centred: tuple[Value, tuple[int, ...]]) -> bool:
    """Whether value is the mean of (x - mean(x))^2 over the same axes."""
    found = _mean(graph, value)
    if found is None or found[1] != centred[1]:
        return False
    node = graph.producers.get(found[0])
    return node is not None and _is_square(graph, node) and _centred(graph, node.inputs[0]) == centred


def _is_square(graph: Graph, node: Node) -> bool:
    if node.operator == "mul":
        return node.inputs[0] is node.inputs[1]
    return node.operator == "square" or (node.operator == "pow" and constant_number(graph, node.inputs[1]) == 2.0)


def _mean(graph: Graph, value: Value) -> tuple[Value, tuple[int, ...]] | None:
    """x and axes where value is the mean of x over them, with extents of 1 in their place."""
    node = graph.producers.get(value)
    scaled = constant_factor(graph, node) if node is not None else None
    total, factor = scaled if scaled else (value, 1.0)
    node = graph.producers.get(total)
    if node is not None and node.operator == "reshape":
        node = graph.producers.get(node.inputs[0])
    if node is None or node.operator != ("reduce_sum" if scaled else "reduce_mean"):
        return None
    (x,), axes = node.inputs, node.attributes["axes"]
    assert isinstance(axes, tuple)
    places = tuple(sorted(int(axis) for axis in axes))
    if value.type.shape != tuple(1 if axis in places else extent for axis, extent in enumerate(x.type.shape)):
        return None
    count = math.prod(x.type.shape[axis] for axis in places)
    exact = math.isclose(factor * count, 1.0, rel_tol=float(ml_dtypes.finfo(x.type.dtype.numpy).eps))
    return (x, places) if exact or not scaled else None
