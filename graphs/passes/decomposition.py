"""Takes fused operators apart for targets that have no kernel for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.passes.base import GraphPass, Miss, blame
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class Decomposition(GraphPass):
    """Replaces every fused operator that isn't in `kept` by the plain operators it stands for."""

    name = "decomposition"
    kept: tuple[str, ...] = ()

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, list[Miss]]:
        plain, count = decompose(graph, lambda node: node.operator in self.kept)
        return plain, count, []


def decompose(graph: Graph, keep: Callable[[Node], bool]) -> tuple[Graph, int]:
    """The graph without the fused operators that `keep` refuses, and how many those were."""
    rewriter, count = Rewriter(graph), 0
    for node in graph.nodes:
        plain = lookup(node.operator).decompose
        if plain is None or keep(node):
            continue
        with blame(graph, node):
            maker = NodeMaker(rewriter, node.source)
            maker.exchange(node, plain(maker, node.inputs, node.attributes))
        count += 1
    return (rewriter.finish() if count else graph), count
