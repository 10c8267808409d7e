"""Biases where they cost least: inside a product, or else together with the activation that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.fusions.silu import find_silu
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.passes.uses import other_use

_PRODUCTS = frozenset({"conv2d", "linear", "matmul"})
_KEEPS_NUMBERS = frozenset({"cast", "reshape", "transpose"})
_GELU = {"none": "gelu", "tanh": "gelu_tanh"}


@dataclass(frozen=True)
class BiasFusion(GraphPass):
    """Finds the addition of a bias, a weight or constant vector along one axis, and moves it.

    Behind a `conv2d` or `linear` without bias it becomes their third input; behind a `matmul` with a weight or constant
    both become a `linear`. Where that can't be, the bias and an activation right after it become `bias_activation`.
    A bias behind a product that can do neither is a miss, unless both are constants. Run it after `group-norm-core` and
    `layer-norm-core`, whose beta looks like a bias, and after `gelu-core`.
    """

    name = "bias-fusion"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (AddedBias(),))


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    """`x` + `bias` along `axis`. What takes it is `product` (with another weight if that is given) or `activation`."""

    x: Value
    bias: Value
    axis: int
    product: Node | None = None
    weight: Value | np.ndarray | None = None
    activation: tuple[Node, ...] = ()


class AddedBias(Pattern):
    """The sum of a tensor and a bias."""

    roots = frozenset({"add"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        for x, bias in (root.inputs, root.inputs[::-1]):
            axis = _axis(bias, x) if x.type == root.output.type and _is_fixed(graph, bias) else None
            if axis is not None:
                return _find_site(graph, root, x, bias, axis)
        return None

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        last = match.activation[-1] if match.activation else match.root
        maker = NodeMaker(rewriter, match.product.source if match.product else match.root.source)
        bias = ViewMaker(maker, rewriter.graph).reshape(match.bias, (match.bias.type.size,))
        if match.product is None:
            name = _activation_name(match.activation)
            result = maker.add("bias_activation", match.x, bias, axis=match.axis, activation=name)
        else:
            weight = maker.constant(match.weight) if isinstance(match.weight, np.ndarray) else match.weight
            assert weight is not None
            operator = "conv2d" if match.product.operator == "conv2d" else "linear"
            attributes: Mapping[str, object] = match.product.attributes if operator == "conv2d" else {}
            result = maker.add(operator, match.product.inputs[0], weight, bias, **attributes)  # type: ignore[arg-type]
        maker.exchange(last, [result])


def _find_site(graph: Graph, root: Node, x: Value, bias: Value, axis: int) -> _Site | None:
    obstacle = None
    product = graph.producers.get(x)
    if product is not None and product.operator in _PRODUCTS and axis == _channel_axis(product):
        if len(product.inputs) == 3 and _both_constant(graph, bias, product.inputs[2]):
            return None
        weight = _linear_weight(graph, product) if product.operator == "matmul" else product.inputs[1]
        obstacle = _obstacle(graph, product, root, weight)
        if obstacle is None:
            return _Site(root, (x, bias), (product,), x=x, bias=bias, axis=axis, product=product, weight=weight)
    activation = _find_activation(graph, root.output)
    if activation and not _used_besides(graph, root.output, activation):
        return _Site(root, (x, bias), activation, x=x, bias=bias, axis=axis, activation=activation)
    return _Site(root, (), x=x, bias=bias, axis=axis, obstacle=obstacle) if obstacle else None


def _is_fixed(graph: Graph, value: Value) -> bool:
    """Whether a value is a weight or a constant, perhaps in another shape."""
    node = graph.producers.get(value)
    while node is not None and node.operator in _KEEPS_NUMBERS:
        node = graph.producers.get(node.inputs[0])
    return node is not None and node.operator in ("constant", "weight")


def _axis(bias: Value, x: Value) -> int | None:
    """The axis of x along which a value of its extent is added; None if it isn't a vector along one axis."""
    first = len(x.type.shape) - len(bias.type.shape)
    axes = [first + index for index, extent in enumerate(bias.type.shape) if extent > 1]
    return axes[0] if first >= 0 and len(axes) == 1 else None


def _channel_axis(product: Node) -> int:
    return 1 if product.operator == "conv2d" else len(product.output.type.shape) - 1


def _both_constant(graph: Graph, *values: Value) -> bool:
    return all(constant_array(graph, value) is not None for value in values)


def _linear_weight(graph: Graph, matmul: Node) -> Value | np.ndarray | None:
    """The right operand as (out, in), if it is a matrix that never changes and needs no transpose at run time."""
    b = matmul.inputs[1]
    if matmul.attributes["transpose_a"] or len(b.type.shape) != 2 or not _is_fixed(graph, b):
        return None
    if matmul.attributes["transpose_b"]:
        return b
    node = graph.producers[b]
    if node.operator == "transpose":
        return node.inputs[0]
    array = constant_array(graph, b)
    return array.T if array is not None else None


def _obstacle(graph: Graph, product: Node, add: Node, weight: Value | np.ndarray | None) -> str | None:
    """Why a product can't take the bias."""
    use = other_use(graph, product.output, (add,))
    if use is not None:
        return f"what the bias is added to has another user, {use}"
    if len(product.inputs) == 3:
        return f"{product.where()} has a bias already, %{product.inputs[2].name}"
    if weight is None:
        return f"{product.where()} isn't a product with a weight of (out, in), which linear takes"
    return None


def _find_activation(graph: Graph, value: Value) -> tuple[Node, ...] | None:
    for user in graph.users.get(value, ()):
        if user.operator in ("gelu", "relu"):
            return (user,)
    return find_silu(graph, value)


def _activation_name(activation: tuple[Node, ...]) -> str:
    first = activation[0]
    if first.operator == "gelu":
        return _GELU[str(first.attributes["approximate"])]
    return "relu" if first.operator == "relu" else "silu"


def _used_besides(graph: Graph, value: Value, activation: tuple[Node, ...]) -> bool:
    values = (value, *(node.output for node in activation[:-1]))
    return any(other_use(graph, each, activation) is not None for each in values)
