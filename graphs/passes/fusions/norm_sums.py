"""The sum in front of a norm, which a fused norm computes itself and hands on to whoever else reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import Miss
from coopdraw.graphs.passes.fusions.per_channel import per_channel
from coopdraw.graphs.passes.patterns import Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import used_nodes
from coopdraw.graphs.passes.topological_order import in_topological_order
from coopdraw.graphs.passes.uses import other_use


@dataclass(frozen=True)
class Sum:
    """x + added, made by `node`. `channelwise`: `added` is what `per_channel` gives; else it has x's type.

    `kept`: something besides the norm reads the sum.
    """

    node: Node
    x: Value
    added: Value
    channelwise: bool
    kept: bool


def find_sum(graph: Graph, norm: Node, others: Iterable[Value], channelwise: bool) -> Sum | None:
    """The sum that `norm` normalises, if the fused norm can take it; `others` are its operands besides the sum.

    A sum of two values of one type, or (if `channelwise`) with one number per sample and channel. Of several norms of
    one sum, the first takes it. A sum that is kept comes out of the fused node, so it then waits for `others` too:
    they must not depend on any sum or norm that may be fused at the same time.
    """
    node = graph.producers.get(norm.inputs[0])
    if node is None or node.operator != "add":
        return None
    kept = other_use(graph, node.output, (norm,)) is not None
    if kept and not (_is_first(graph, norm) and _independent(graph, others, norm.operator)):
        return None
    first, second = node.inputs
    for x, added in ((first, second), (second, first)):
        numbers = per_channel(graph, added, x.type) if channelwise and x.type == node.output.type else None
        if numbers is not None and numbers.type != x.type:
            return Sum(node, x, numbers, True, kept)
    return Sum(node, first, second, False, kept) if first.type == second.type else None


def _is_first(graph: Graph, norm: Node) -> bool:
    return norm is next(
        user for user in graph.users[norm.inputs[0]] if _normalises(user, norm.inputs[0], norm.operator)
    )


def _normalises(node: Node, value: Value, operator: str) -> bool:
    return node.operator == operator and node.inputs[0] is value


def _independent(graph: Graph, values: Iterable[Value], operator: str) -> bool:
    """Whether no norm of that kind, and nothing that one normalises, is among what `values` are computed from."""
    waiting, seen = list(values), set[Value]()
    while waiting:
        value = waiting.pop()
        node = graph.producers.get(value)
        if node is None or value in seen:
            continue
        if node.operator == operator or any(_normalises(user, value, operator) for user in graph.users[value]):
            return False
        seen.add(value)
        waiting += node.inputs
    return True


def apply_to_norms(graph: Graph, pattern: Pattern) -> tuple[Graph, int, Sequence[Miss]]:
    """`apply_patterns` with a pattern that moves sums into norms, which stand later: the order is mended afterwards.

    What nothing uses goes first: a fused norm stays only as long as its norm is used, whoever reads the sum.
    """
    live = graph.with_nodes(used_nodes(graph.nodes, graph.outputs))
    fused, count, misses = apply_patterns(live, (pattern,))
    return (in_topological_order(fused) if count else graph), count, misses
