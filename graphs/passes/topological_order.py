"""Puts the nodes of a graph back into an order in which everything is defined before it is read."""

from __future__ import annotations

from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Node


def in_topological_order(graph: Graph) -> Graph:
    """The same nodes, each after those it reads from; one moves up only when a node before it needs its outputs.

    Raises PassError if nodes need each other in a circle.
    """
    placed: dict[Node, None] = {}
    for node in graph.nodes:
        waiting, begun = [node], set[Node]()
        while waiting:
            current = waiting[-1]
            makers = (graph.producers.get(value) for value in current.inputs)
            missing = [maker for maker in makers if maker is not None and maker not in placed]
            if not missing:
                placed[waiting.pop()] = None
            elif current in begun:
                raise PassError(f"graph {graph.name}: {current.where()} needs its own result; fix the rewrite")
            else:
                begun.add(current)
                waiting += reversed(missing)
    return graph.with_nodes(placed)
