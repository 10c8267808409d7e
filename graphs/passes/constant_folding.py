"""Evaluates what depends on nothing but constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.interpreter import evaluate_node
from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss, blame
from coopdraw.graphs.passes.constants import constant_node
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class ConstantFolding(GraphPass):
    """Replaces nodes whose inputs are all constants by the constants that the operators' references compute.

    Calls are left to `fold-constant-arguments`. Weights are left alone: they stay references into the checkpoint, so
    that equal bytes are stored once and compiling never holds them all; a folded weight would be a second copy.
    A node is also left when one of its outputs has more than `limit_bytes` and more than its inputs have together.
    """

    name = "constant-folding"
    limit_bytes: int = 1 << 20

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        known: dict[Value, np.ndarray] = {}
        rewriter, folded, misses = Rewriter(graph), 0, list[Miss]()
        for node in graph.nodes:
            if node.operator == "constant":
                known[node.output] = np.asarray(node.attributes["value"])
            if node.operator == "call" or not node.inputs or not all(value in known for value in node.inputs):
                continue
            reason = self._growth(node)
            if reason is not None:
                misses.append(Miss(graph.name, node.where(), reason))
                continue
            with blame(graph, node):
                arrays = evaluate_node(node, [known[value] for value in node.inputs])
            known.update(zip(node.outputs, arrays, strict=True))
            rewriter.exchange(node, [constant_node(value, known[value], node.source) for value in node.outputs])
            folded += 1
        return (rewriter.finish() if folded else graph), folded, misses

    def _growth(self, node: Node) -> str | None:
        largest = max(value.type.nbytes for value in node.outputs)
        if largest <= self.limit_bytes or largest <= sum(value.type.nbytes for value in node.inputs):
            return None
        return f"folding would make a constant of {largest} bytes; the limit is {self.limit_bytes} (limit_bytes)"
