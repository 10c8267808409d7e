"""GEGLU as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.passes.uses import other_operand, other_use


@dataclass(frozen=True)
class GegluFusion(GraphPass):
    """Makes `geglu` of value * gelu(gate), where value and gate are the halves of the last axis of one tensor, taken by
    a split or by slices. Run it after `gelu-core`, which finds the GELU that is written out.

    With `absorb_bias`, the bias of the `linear` that makes the tensor, or the vector that is added to it, becomes
    geglu's. A GELU that gates something else is a miss.
    """

    name = "geglu-fusion"
    absorb_bias: bool = False

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (GatedHalves(self.absorb_bias),))


@dataclass(frozen=True)
class _Part:
    """Part of `whole` along one axis, from `begin` on, made by `node`."""

    whole: Value
    axis: int
    begin: int
    node: Node


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    """`hidden` is cut into value and gate; with an `obstacle` it isn't."""

    product: Node
    hidden: Value | None = None
    gate_is_first: bool = False


@dataclass(frozen=True)
class GatedHalves(Pattern):
    """A GELU whose result multiplies another tensor of its shape."""

    absorb_bias: bool

    roots = frozenset({"gelu"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        for product in graph.users.get(root.output, ()):
            value = other_operand(product, root.output) if product.operator == "mul" else None
            if value is not None and value.type == root.output.type and constant_array(graph, value) is None:
                return self._site(graph, root, product, value)
        return None

    def _site(self, graph: Graph, gelu: Node, product: Node, value: Value) -> _Site:
        use = other_use(graph, gelu.output, (product,))
        if use is not None:
            return _Site(gelu, (), product=product, obstacle=f"the GELU has another user, {use}")
        other, gate = _find_part(graph, value), _find_part(graph, gelu.inputs[0])
        if other is None or gate is None or other.whole is not gate.whole:
            return _Site(gelu, (), product=product, obstacle="value and gate aren't cut out of one tensor")
        obstacle = _obstacle(other, gate, value)
        if obstacle is not None:
            return _Site(gelu, (), product=product, obstacle=obstacle)
        hidden, inside = gate.whole, (product, gate.node, other.node)
        return _Site(gelu, (hidden,), inside, product=product, hidden=hidden, gate_is_first=gate.begin == 0)

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        assert match.hidden is not None
        maker = NodeMaker(rewriter, match.product.source)
        operands: tuple[Value, ...] = (match.hidden,)
        if self.absorb_bias:
            operands = _without_bias(rewriter, match, match.hidden) or operands
        gate = "first" if match.gate_is_first else "second"
        maker.exchange(match.product, [maker.add("geglu", *operands, **match.root.attributes, gate=gate)])


def _find_part(graph: Graph, value: Value) -> _Part | None:
    """What a value is part of: an output of a split, or a slice that leaves out something of one axis only."""
    node = graph.producers.get(value)
    if node is None:
        return None
    if node.operator == "split":
        axis, sizes = node.attributes["axis"], node.attributes["sizes"]
        assert isinstance(axis, int)
        assert isinstance(sizes, tuple)
        return _Part(node.inputs[0], axis, int(sum(sizes[: node.outputs.index(value)])), node)
    if node.operator == "slice":
        begin, stride = node.attributes["begin"], node.attributes["stride"]
        assert isinstance(begin, tuple)
        assert isinstance(stride, tuple)
        whole = node.inputs[0]
        cut = [axis for axis, extent in enumerate(whole.type.shape) if extent != value.type.shape[axis]]
        if len(cut) == 1 and stride[cut[0]] == 1:
            return _Part(whole, cut[0], int(begin[cut[0]]), node)
    return None


def _obstacle(first: _Part, second: _Part, value: Value) -> str | None:
    """Why two parts of one tensor, of the type of `value`, aren't value and gate."""
    last = len(value.type.shape) - 1
    if first.axis != last or second.axis != last:
        return f"value and gate are cut along axes {first.axis} and {second.axis}; geglu halves the last one, {last}"
    half = value.type.shape[last]
    if {first.begin, second.begin} != {0, half} or first.whole.type.shape[last] != 2 * half:
        return f"value and gate aren't the two halves of {first.whole.type}"
    return None


def _without_bias(rewriter: Rewriter, match: _Site, hidden: Value) -> tuple[Value, Value] | None:
    """The tensor before its bias, and the bias, if nothing outside the match needs the tensor or a part of it."""
    graph = rewriter.graph
    node = graph.producers.get(hidden)
    product, *cuts = match.interior
    parts = [part for cut in cuts for part in cut.outputs]
    if node is None or other_use(graph, hidden, cuts) or any(other_use(graph, p, (match.root, product)) for p in parts):
        return None
    if node.operator == "linear" and len(node.inputs) == 3:
        rewriter.exchange(node, [replace(node, inputs=node.inputs[:2])])
        return hidden, node.inputs[2]
    if node.operator == "add":
        for x, bias in (node.inputs, node.inputs[::-1]):
            if x.type == hidden.type and bias.type.shape == hidden.type.shape[-1:]:
                return x, bias
    return None
