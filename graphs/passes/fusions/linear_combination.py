"""Guidance, sampler step and mixing as one elementwise operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.passes.uses import only_user


@dataclass(frozen=True)
class LinearCombinationFusion(GraphPass):
    """Makes one `linear_combination` of a tree of additions, subtractions and multiplications by constant scalars.

    The inner values of the tree have one user each, so nothing is computed twice. Sums are reassociated: results
    differ from the tree's by rounding, and weights are multiplied in float64. Only floating-point values of one type
    take part; what is left of a single value is a plain multiplication.
    """

    name = "linear-combination-fusion"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, list[Miss]]:
        return apply_patterns(graph, (WeightedSum(),))


class WeightedSum(Pattern):
    """A tree of at least two nodes; the widest one wins, since roots are tried from the outputs up."""

    roots = frozenset({"add", "sub", "mul", "div", "neg", "linear_combination"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        if not root.output.type.dtype.is_floating or _terms(graph, root) is None:
            return None
        nodes = tuple(_tree(graph, root))
        leaves = [value for node in nodes for value, _ in _terms(graph, node) or () if not _inside(graph, value, root)]
        return Match(root, tuple(dict.fromkeys(leaves)), nodes[1:]) if len(nodes) > 1 else None

    def check(self, graph: Graph, match: Match) -> str | None:
        weights = _weights(graph, match.root)
        if not all(math.isfinite(weight) for weight in weights.values()):
            return "a constant factor is not a finite number"
        return None

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        weights = _weights(rewriter.graph, match.root)
        maker = NodeMaker(rewriter, match.root.source)
        if len(weights) == 1:
            ((value, weight),) = weights.items()
            factor = maker.constant(np.asarray(weight, value.type.dtype.numpy))
            result = maker.add("mul", value, factor)
        else:
            result = maker.add("linear_combination", *weights, weights=tuple(weights.values()))
        maker.exchange(match.root, [result])


def _weights(graph: Graph, root: Node) -> dict[Value, float]:
    """The factor of every leaf of the tree under `root`."""
    totals: dict[Value, float] = {}
    waiting = [(root.output, 1.0)]
    while waiting:
        value, factor = waiting.pop()
        node = graph.producers.get(value)
        inside = node is not None and (node is root or _inside(graph, value, root))
        terms = _terms(graph, node) if inside and node is not None else None
        if terms is None:
            totals[value] = totals.get(value, 0.0) + factor
        else:
            waiting += [(operand, factor * weight) for operand, weight in reversed(terms)]
    return totals


def _tree(graph: Graph, root: Node) -> Iterator[Node]:
    """`root` and the nodes under it that belong to the tree."""
    yield root
    for value, _ in _terms(graph, root) or ():
        if _inside(graph, value, root):
            yield from _tree(graph, graph.producers[value])


def _inside(graph: Graph, value: Value, root: Node) -> bool:
    """Whether a value is made by a node of the tree: a weighted sum of the same type that one node reads, once."""
    node = graph.producers.get(value)
    if node is None or value.type != root.output.type or _terms(graph, node) is None:
        return False
    user = only_user(graph, value)
    return user is not None and user.inputs.count(value) == 1


def _terms(graph: Graph, node: Node) -> tuple[tuple[Value, float], ...] | None:
    """What a node adds up, with factors; None for one that is no weighted sum of values of its own type."""
    type = node.outputs[0].type
    if node.operator == "linear_combination":
        weights = node.attributes["weights"]
        return tuple(zip(node.inputs, weights, strict=True))  # type: ignore[arg-type]
    if node.operator == "neg":
        return ((node.inputs[0], -1.0),)
    if node.operator in ("add", "sub"):
        first, second = node.inputs
        sign = 1.0 if node.operator == "add" else -1.0
        return ((first, 1.0), (second, sign)) if first.type == second.type == type else None
    if node.operator in ("mul", "div"):
        return _product(graph, node)
    return None


def _product(graph: Graph, node: Node) -> tuple[tuple[Value, float], ...] | None:
    first, second = node.inputs
    orders = [(first, second)] if node.operator == "div" else [(first, second), (second, first)]
    for value, scalar in orders:
        array = constant_array(graph, scalar)
        if value.type != node.output.type or array is None or array.size != 1:
            continue
        factor = float(array.reshape(()))
        if node.operator == "div":
            factor = 1.0 / factor if factor else math.inf
        return ((value, factor),)
    return None
