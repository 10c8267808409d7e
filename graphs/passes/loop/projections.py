"""Finds linear layers that read the same input, and what their results are for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.uses import only_user

Kind: TypeAlias = Literal["self_attention", "same_input"]

_ON_THE_WAY = frozenset({"identity", "reshape", "transpose", "cast", "mul", "div", "add", "softmax"})
"""What may lie between a projection and the products of an attention that was not fused."""


@dataclass(frozen=True)
class Projections:
    """Linear layers that read the same input.

    `self_attention`: query, key and value of one attention. `same_input`: whatever else has one input, such as keys and
    values over a text, or one layer per block that embeds the timestep.
    """

    kind: Kind
    nodes: tuple[Node, ...]


def projections(graph: Graph) -> Iterator[Projections]:
    """Every group of two or more linear layers that read the same input, in the order of the graph."""
    found: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        if node.operator == "linear":
            found.setdefault(node.inputs[0], []).append(node)
    for nodes in found.values():
        yield from (group for group in _split_by_kind(graph, nodes) if len(group.nodes) > 1)


def _split_by_kind(graph: Graph, nodes: Sequence[Node]) -> Iterator[Projections]:
    attentions: dict[Node, list[Node]] = {}
    for node in nodes:
        attention = _attention(graph, node.output)
        if attention is not None:
            attentions.setdefault(attention, []).append(node)
    groups = [group for group in attentions.values() if len(group) == 3]
    yield from (Projections("self_attention", tuple(group)) for group in groups)
    taken = {node for group in groups for node in group}
    yield Projections("same_input", tuple(node for node in nodes if node not in taken))


def _attention(graph: Graph, value: Value) -> Node | None:
    """The attention that a projection goes into: the fused operator, or the product of probabilities and values."""
    normalised = False
    while True:
        node = only_user(graph, value)
        if node is None or node.operator == "attention":
            return node
        if node.operator == "matmul":
            if normalised or _is_probability(graph, node.inputs[0]):
                return node
        elif node.operator not in _ON_THE_WAY:
            return None
        normalised = normalised or node.operator == "softmax"
        value = node.output


def _is_probability(graph: Graph, value: Value) -> bool:
    """Whether a value is the result of a softmax, perhaps cast or reshaped."""
    node = graph.producers.get(value)
    while node is not None and node.operator in ("cast", "reshape", "identity"):
        node = graph.producers.get(node.inputs[0])
    return node is not None and node.operator == "softmax"
