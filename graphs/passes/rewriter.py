"""Rebuilds an immutable graph: values forwarded, nodes exchanged, what became unused left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Node, Value


class Rewriter:
    """Collects changes to one graph; `finish` makes the new graph in one walk over the nodes.

    Order is kept, and so is every value that isn't replaced, names included.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._names = {value.name for value in graph.values}
        self._replaced: dict[Value, Value] = {}
        self._exchanged: dict[Node, tuple[Node, ...]] = {}

    def unique_name(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3` ... if it is taken; the name then is taken."""
        name = free_name(wish, self._names)
        self._names.add(name)
        return name

    def replace(self, value: Value, by: Value) -> None:
        """Makes every user of `value` read `by`, which must be defined before them and have the same type."""
        if value.type != by.type:
            raise GraphError(f"graph {self.graph.name}: {value} cannot be replaced by {by}, which has another type")
        self._replaced[value] = by

    def exchange(self, node: Node, nodes: Iterable[Node]) -> None:
        """Puts `nodes` where `node` is; outputs of `node` that are still used must be among theirs."""
        self._exchanged[node] = tuple(nodes)

    def resolve(self, value: Value) -> Value:
        """What `value` is after the replacements so far."""
        chain = []
        while value in self._replaced:
            chain.append(value)
            value = self._replaced[value]
        for replaced in chain:
            self._replaced[replaced] = value
        return value

    def resolve_all(self, values: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(self.resolve(value) for value in values)

    def finish(self) -> Graph:
        """The new graph, without nodes that nothing uses."""
        nodes = []
        for old in self.graph.nodes:
            for node in self._exchanged.get(old, (old,)):
                inputs = self.resolve_all(node.inputs)
                nodes.append(node if inputs == node.inputs else replace(node, inputs=inputs))
        outputs = self.resolve_all(self.graph.outputs)
        return self.graph.with_nodes(used_nodes(nodes, outputs), outputs)


def free_name(wish: str, taken: Collection[str]) -> str:
    """`wish`, or `wish_2`, `wish_3` ... if it is taken."""
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    return name


def used_nodes(nodes: Sequence[Node], outputs: Iterable[Value]) -> tuple[Node, ...]:
    """Those of `nodes` (in topological order) that `outputs` depend on."""
    used, kept = set(outputs), []
    for node in reversed(nodes):
        if not used.isdisjoint(node.outputs):
            used.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
