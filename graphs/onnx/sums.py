"""Weighted sums with their weights as operands, so that steps which differ only in them are alike."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.rewriter import Rewriter


def spell_out_sums(graph: Graph) -> Graph:
    """The graph with every linear_combination as products with constants and additions, all of one form."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if node.operator == "linear_combination":
            maker = NodeMaker(rewriter, node.source)
            maker.exchange(node, [_sum(maker, node)])
    return rewriter.finish()


def _sum(maker: NodeMaker, node: Node) -> Value:
    weights = node.attributes["weights"]
    assert isinstance(weights, tuple)
    dtype = node.output.type.dtype.numpy
    terms = [
        maker.add("mul", value, maker.constant(np.asarray(weight, dtype)))
        for value, weight in zip(node.inputs, weights, strict=True)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = maker.add("add", total, term)
    return total
