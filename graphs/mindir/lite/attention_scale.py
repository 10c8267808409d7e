"""Moves the scale of attention from the scores to the query, which has fewer elements."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.rewriter import Rewriter


class AttentionScale(GraphPass):
    """softmax(scale * q @ k^T) is softmax((scale * q) @ k^T), where the queries are shorter than the keys are many."""

    name = "attention-scale"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, list[Miss]]:
        rewriter, count = Rewriter(graph), 0
        for node in graph.nodes:
            if node.operator == "attention" and node.attributes["scale"] != 1.0 and _fewer_queries(node):
                maker = NodeMaker(rewriter, node.source)
                query, *others = node.inputs
                scale = maker.constant(np.asarray(node.attributes["scale"], query.type.dtype.numpy))
                scaled = maker.add("mul", query, scale)
                attributes = {**node.attributes, "scale": 1.0}
                maker.exchange(node, [maker.add("attention", scaled, *others, **attributes)])
                count += 1
        return (rewriter.finish() if count else graph), count, []


def _fewer_queries(node: Node) -> bool:
    """Whether a query has fewer numbers than there are keys."""
    query, key = (value.type.shape for value in node.inputs[:2])
    heads = int(node.attributes["heads"]) if node.attributes["layout"] == "BSH" else 1  # type: ignore[arg-type]
    return query[-1] // heads < key[-2]
