"""Small questions about graphs that patterns ask while they walk from node to node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.fusions.scalars import constant_number
from coopdraw.graphs.passes.fusions.views import swap_permutation
from coopdraw.graphs.passes.uses import other_use


def constant_factor(graph: Graph, node: Node) -> tuple[Value, float] | None:
    """x and c where `node` is x * c, c * x or x / c with a constant that is the same number everywhere.

    None for any other node, and where the constant gives the result another shape than x.
    """
    if node.operator not in ("mul", "div"):
        return None
    first, second = node.inputs
    for x, factor in [(first, second)] if node.operator == "div" else [(first, second), (second, first)]:
        number = constant_number(graph, factor)
        if number is None or x.type != node.output.type:
            continue
        if node.operator == "div":
            number = 1.0 / number if number else float("inf")
        return x, number
    return None


def keeps_matrices(node: Node) -> bool:
    """Whether a node is a reshape that leaves the last two axes as they are."""
    return node.operator == "reshape" and node.inputs[0].type.shape[-2:] == node.output.type.shape[-2:]


def swaps_matrices(node: Node) -> bool:
    """Whether a node is a transpose that exchanges the last two axes and nothing else."""
    rank = len(node.outputs[0].type.shape)
    return node.operator == "transpose" and rank > 1 and node.attributes["permutation"] == swap_permutation(rank)


def another_use(graph: Graph, value: Value, user: Node) -> str | None:
    """What needs a value besides `user`, which should read it once, as a reason names it; None if nothing does."""
    other = other_use(graph, value, (user,))
    return user.where() if other is None and user.inputs.count(value) > 1 else other


def derives_from(graph: Graph, value: Value, operator: str, through: Collection[str]) -> bool:
    """Whether a node of `operator` makes `value`, or what it is computed from by operators of `through` only."""

    def before(value: Value) -> Iterable[Node]:
        node = graph.producers.get(value)
        return () if node is None else (node,)

    return _found(before(value), operator, through, lambda node: (n for value in node.inputs for n in before(value)))


def feeds(graph: Graph, value: Value, operator: str, through: Collection[str]) -> bool:
    """Whether a node of `operator` reads `value`, or what operators of `through` only compute from it."""

    def after(value: Value) -> Iterable[Node]:
        return graph.users.get(value, ())

    return _found(after(value), operator, through, lambda node: (n for value in node.outputs for n in after(value)))


def _found(
    start: Iterable[Node], operator: str, through: Collection[str], step: Callable[[Node], Iterator[Node]]
) -> bool:
    waiting, seen = list(start), set[Node]()
    while waiting:
        node = waiting.pop()
        if node.operator == operator:
            return True
        if node.operator in through and node not in seen:
            seen.add(node)
            waiting += step(node)
    return False
