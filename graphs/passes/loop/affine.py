"""Finds constant factors and offsets beside layers: scale * x + shift, channel by channel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.uses import only_user

_LAYERS = frozenset({"conv2d", "linear"})


@dataclass(frozen=True)
class LayerFold:
    """A conv2d or linear that can take in an operation beside it; all arrays are float64.

    The new layer reads `x` and stands where `place` is, whose output it makes. Its weight is W * `factor`, its bias
    `bias_factor` * b + `offset` + the sum over each output's part of W * `spread`; None is neutral.
    """

    layer: Node
    place: Node
    x: Value
    factor: np.ndarray | None = None
    bias_factor: np.ndarray | None = None
    offset: np.ndarray | None = None
    spread: np.ndarray | None = None


@dataclass(frozen=True)
class _Affine:
    """scale * x + shift along the channel axis of x, both float64 (channels,)."""

    x: Value
    scale: np.ndarray
    shift: np.ndarray


def layer_folds(graph: Graph, operation: Node) -> Iterator[LayerFold | str]:
    """The ways to fold an operation into the layer before and the one behind it, or what is in the way of each."""
    found = _constant_operand(graph, operation)
    if found is None:
        return
    x, constant = found
    before = graph.producers.get(x)
    if before is not None and before.operator in _LAYERS:
        yield _behind(graph, before, operation, constant)
    for user in graph.users.get(operation.output, ()):
        if user.operator in _LAYERS and user.inputs[0] is operation.output:
            yield _before(graph, user, operation, constant)


def _behind(graph: Graph, layer: Node, operation: Node, constant: Value) -> LayerFold | str:
    if only_user(graph, layer.output) is not operation:
        return f"the result %{layer.output.name} of the {layer.operator} is read elsewhere too"
    found = _affine(graph, operation, layer.output, constant, _channel_axis(layer))
    if isinstance(found, str):
        return found
    x, offset = layer.inputs[0], found.shift
    if (found.scale == 1.0).all():
        return LayerFold(layer, operation, x, offset=offset)
    inner = (1,) * (len(layer.inputs[1].type.shape) - 1)
    return LayerFold(layer, operation, x, found.scale.reshape(-1, *inner), found.scale, offset)


def _before(graph: Graph, layer: Node, operation: Node, constant: Value) -> LayerFold | str:
    if only_user(graph, operation.output) is not layer:
        return "its result is read elsewhere too"
    x = next(value for value in operation.inputs if value is not constant)
    found = _affine(graph, operation, x, constant, _channel_axis(layer))
    if isinstance(found, str):
        return found
    padding = layer.attributes.get("padding", ())
    if found.shift.any() and isinstance(padding, tuple) and any(padding):
        return f"the zeros with which %{layer.output.name} (conv2d) pads its input would not get the addition"
    factor = None if (found.scale == 1.0).all() else _per_input(layer, found.scale)
    spread = _per_input(layer, found.shift) if found.shift.any() else None
    return LayerFold(layer, layer, x, factor, spread=spread)


def _constant_operand(graph: Graph, node: Node) -> tuple[Value, Value] | None:
    """x and the constant of mul, add, sub or div; not of constant / x, which isn't affine."""
    if node.operator not in ("mul", "add", "sub", "div") or not node.output.type.dtype.is_floating:
        return None
    first, second = node.inputs
    for x, constant in [(first, second)] if node.operator == "div" else [(first, second), (second, first)]:
        if constant_array(graph, constant) is not None and constant_array(graph, x) is None:
            return x, constant
    return None


def _affine(graph: Graph, node: Node, x: Value, constant: Value, axis: int) -> _Affine | str:
    """A node as scale and shift of x, or the reason why it isn't."""
    array = constant_array(graph, constant)
    assert array is not None
    if node.output.type != x.type:
        return f"the constant %{constant.name} broadcasts {x.type} to {node.output.type}"
    extents = (1,) * (len(x.type.shape) - array.ndim) + array.shape
    if math.prod(extents) != extents[axis]:
        return f"the constant %{constant.name} varies along more than the channels"
    vector = np.broadcast_to(array.reshape(-1).astype(np.float64), (x.type.shape[axis],))
    ones, zeros = np.ones_like(vector), np.zeros_like(vector)
    with np.errstate(all="ignore"):
        if node.operator == "mul":
            return _Affine(x, vector, zeros)
        if node.operator == "div":
            return _Affine(x, 1.0 / vector, zeros)
    if node.operator == "add":
        return _Affine(x, ones, vector)
    return _Affine(x, ones, -vector) if node.inputs[0] is x else _Affine(x, -ones, vector)


def _channel_axis(layer: Node) -> int:
    """Of both the input and the output of a layer."""
    return 1 if layer.operator == "conv2d" else len(layer.output.type.shape) - 1


def _per_input(layer: Node, channels: np.ndarray) -> np.ndarray:
    """A number for each input channel, shaped to meet the weight; each group of a conv2d reads channels of its own."""
    rows, columns, *kernel = layer.inputs[1].type.shape
    groups = len(channels) // columns
    repeated = np.repeat(channels.reshape(groups, columns), rows // groups, axis=0)
    return repeated.reshape(rows, columns, *[1] * len(kernel))
