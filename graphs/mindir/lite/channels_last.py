"""Keeps images as (N, H * W, C), which is how Lite's CPU kernels have them in memory.

Lite puts a transposition before and after every operator on images and then takes pairs away where it can, which fails
on some graphs and leaves many. Here transpositions are written where they must be and vanish against Lite's own; on
three axes, what lies between is out of reach of Lite's rewriting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Node, Value
from coopdraw.graphs.ops import infer
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.rewriter import free_name, used_nodes

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_IMAGE_OPERATORS = frozenset({"conv2d", "group_norm", "resize", "avg_pool2d"})
_COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})
_ELEMENTWISE = _COMMUTATIVE | frozenset(
    {"sub", "div", "neg", "abs", "exp", "square", "sqrt", "erf", "tanh", "sigmoid", "silu", "relu", "gelu", "clamp"}
)
_ALONG_CHANNELS = frozenset({"concat", "split"})


class ChannelsLast(GraphPass):
    """Elementwise work on images, joining and splitting their channels, and pointwise convolutions have channels last.

    The way to tokens and back then costs nothing. Other convolutions, normalisation and resizing stay operators on
    (N, C, H, W) with transpositions around them.
    """

    name = "channels-last"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, list[Miss]]:
        return _Layout(graph).result() if graph.nodes else (graph, 0, [])


class _Layout:
    """`_first` and `_last` are the two forms of the old graph's values: as they were, and with channels last.

    `_marked` are values that come from a transposition along their first operands, which is how Lite remembers that
    their channels are last; a convolution refuses others.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names = {value.name for value in graph.values}
        self._nodes: list[Node] = []
        self._first: dict[Value, Value] = {value: value for value in graph.inputs}
        self._last: dict[Value, Value] = {}
        self._marked: set[Value] = set()
        self._origin = graph.nodes[0]

    def result(self) -> tuple[Graph, int, list[Miss]]:
        moved = 0
        for node in self._graph.nodes:
            self._origin = node
            if self._move(node):
                moved += 1
            else:
                self._keep(node)
        outputs = tuple(self._as_first(value) for value in self._graph.outputs)
        if not moved:
            return self._graph, 0, []
        return self._graph.with_nodes(used_nodes(self._nodes, outputs), outputs), moved, []

    def _keep(self, node: Node) -> None:
        """The node as it is; what an operator on images gives is there in the other form when wanted."""
        inputs = tuple(self._as_first(value) for value in node.inputs)
        self._nodes.append(Node(node.operator, inputs, node.outputs, node.attributes, node.source, node.passes))
        self._first.update(zip(node.outputs, node.outputs, strict=True))
        if node.operator in _IMAGE_OPERATORS and len(node.output.type.shape) == 4:
            self._as_last(node.output)

    def _move(self, node: Node) -> bool:
        """Computes the node with channels last, where that is known to be right."""
        if node.operator == "transpose":
            return self._to_tokens(node)
        if node.operator == "reshape":
            return self._from_tokens(node)
        if node.operator == "conv2d":
            return self._pointwise(node)
        if any(len(value.type.shape) != 4 for value in node.outputs):
            return False
        # Without an image among them, four axes may be anything, such as scores of attention.
        if not any(value in self._last for value in node.inputs):
            return False
        if node.operator in _ALONG_CHANNELS:
            return self._along_channels(node)
        return node.operator in _ELEMENTWISE and self._elementwise(node)

    def _to_tokens(self, node: Node) -> bool:
        """(N, C, H * W) to (N, H * W, C) is the way back from channels first."""
        source = self._graph.producers.get(node.inputs[0])
        if source is None or source.operator != "reshape" or not _swaps_last_two(node):
            return False
        image = source.inputs[0]
        if image not in self._last or not _flattens(source.output.type.shape, image.type.shape):
            return False
        self._first[node.output] = self._reshaped(self._last[image], node.output.type.shape)
        return True

    def _from_tokens(self, node: Node) -> bool:
        """(N, H * W, C) to (N, C, H, W), the other way round."""
        source = self._graph.producers.get(node.inputs[0])
        shape = node.output.type.shape
        if source is None or source.operator != "transpose" or not _swaps_last_two(source) or len(shape) != 4:
            return False
        if not _flattens(node.inputs[0].type.shape, shape):
            return False
        self._last[node.output] = self._reshaped(self._as_first(source.inputs[0]), _last_shape(shape))
        return True

    def _pointwise(self, node: Node) -> bool:
        """A convolution of single pixels is a linear layer of tokens."""
        weight = node.inputs[1].type.shape
        still = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
        if weight[2:] != (1, 1) or dict(node.attributes) != still:
            return False
        matrix = self._reshaped(self._as_first(node.inputs[1]), weight[:2])
        operands = [self._as_last(node.inputs[0]), matrix, *(self._as_first(value) for value in node.inputs[2:])]
        self._set_last(node, self._add("linear", operands, {}))
        return True

    def _along_channels(self, node: Node) -> bool:
        if node.attributes["axis"] != 1:
            return False
        inputs = [self._as_last(value) for value in node.inputs]
        self._set_last(node, self._add(node.operator, inputs, {**node.attributes, "axis": 2}))
        return True

    def _elementwise(self, node: Node) -> bool:
        pixels = node.output.type.shape[2:]
        for value in node.inputs:
            shape = value.type.shape
            if value.type.size > 1 and (len(shape) != 4 or shape[2:] not in (pixels, (1, 1))):
                return False
        inputs = [self._as_last(v) if len(v.type.shape) == 4 else self._as_first(v) for v in node.inputs]
        if node.operator in _COMMUTATIVE:
            inputs.sort(key=lambda value: value not in self._marked)
        self._set_last(node, self._add(node.operator, inputs, node.attributes))
        return True

    def _set_last(self, node: Node, outputs: Sequence[Value]) -> None:
        self._last.update(zip(node.outputs, outputs, strict=True))

    def _as_last(self, value: Value) -> Value:
        if value not in self._last:
            image, flat = self._as_first(value), _last_shape(value.type.shape)
            if not _same_order(value.type.shape):
                (image,) = self._add("transpose", [image], {"permutation": _TO_LAST})
                self._marked.add(image)
            self._last[value] = self._reshaped(image, flat)
        return self._last[value]

    def _as_first(self, value: Value) -> Value:
        if value not in self._first:
            batch, channels, height, width = value.type.shape
            image = self._last[value]
            if _same_order(value.type.shape):
                self._first[value] = self._reshaped(image, value.type.shape)
            elif image in self._marked:
                image = self._reshaped(image, (batch, height, width, channels))
                (self._first[value],) = self._add("transpose", [image], {"permutation": _TO_FIRST})
            else:
                (image,) = self._add("transpose", [image], {"permutation": (0, 2, 1)})
                (zero,) = self._add("constant", [], {"value": np.zeros((1, channels, 1, 1), value.type.dtype.numpy)})
                (self._first[value],) = self._add("sub", [self._reshaped(image, value.type.shape), zero], {})
        return self._first[value]

    def _reshaped(self, value: Value, shape: tuple[int, ...]) -> Value:
        return value if value.type.shape == shape else self._add("reshape", [value], {"shape": shape})[0]

    def _add(self, operator: str, inputs: Sequence[Value], attributes: Mapping[str, Attribute]) -> tuple[Value, ...]:
        """A node for the one at hand, from its Cell."""
        outputs = []
        for type in infer(operator, [value.type for value in inputs], attributes):
            name = free_name(operator, self._names)
            self._names.add(name)
            outputs.append(Value(name, type))
        origin = self._origin
        self._nodes.append(Node(operator, tuple(inputs), tuple(outputs), attributes, origin.source, origin.passes))
        if inputs and inputs[0] in self._marked:
            self._marked.update(outputs)
        return tuple(outputs)


def _swaps_last_two(node: Node) -> bool:
    rank = len(node.inputs[0].type.shape)
    return rank >= 3 and node.attributes["permutation"] == (*range(rank - 2), rank - 1, rank - 2)


def _flattens(flat: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Whether `flat` is (N, C, H * W), with ones anywhere before C."""
    if len(image) != 4:
        return False
    batch, channels, height, width = image
    lead = [extent for extent in flat[:-2] if extent > 1]
    return flat[-2:] == (channels, height * width) and lead == ([batch] if batch > 1 else [])


def _last_shape(image: tuple[int, ...]) -> tuple[int, ...]:
    batch, channels, height, width = image
    return batch, height * width, channels


def _same_order(image: tuple[int, ...]) -> bool:
    """Whether both forms have their elements in one order."""
    return image[1] == 1 or math.prod(image[2:]) == 1
