"""Computes equal things once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Node
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.constants import array_key
from coopdraw.graphs.passes.rewriter import Rewriter

_COMMUTATIVE = frozenset({"add", "mul", "equal", "not_equal", "logical_and", "logical_or"})
"""Bit-exact with exchanged operands; maximum and minimum are not, for -0.0 and 0.0."""


@dataclass(frozen=True)
class CommonSubexpressions(GraphPass):
    """Merges nodes of a graph with equal operator, attributes and inputs; the first one stays.

    This includes weights, constants (equal dtype, shape and bytes) and calls, since functions have no side effects.
    Operands of operators that commute bit by bit may be exchanged.
    """

    name = "common-subexpressions"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        rewriter, merged = Rewriter(graph), 0
        first: dict[Hashable, Node] = {}
        position = {value: index for index, value in enumerate(graph.values)}
        for node in graph.nodes:
            inputs = list(rewriter.resolve_all(node.inputs))
            if node.operator in _COMMUTATIVE:
                inputs.sort(key=position.__getitem__)
            attributes = tuple((name, attribute_key(node.attributes[name])) for name in sorted(node.attributes))
            same = first.setdefault((node.operator, tuple(inputs), attributes), node)
            if same is not node:
                for value, by in zip(node.outputs, same.outputs, strict=True):
                    rewriter.replace(value, by)
                merged += 1
        return (rewriter.finish() if merged else graph), merged, ()


def attribute_key(attribute: Attribute) -> Hashable:
    """Equal for attributes that mean the same bit by bit: tells 0.0 from -0.0 and 1 from 1.0, arrays by their bytes."""
    if isinstance(attribute, np.ndarray):
        return array_key(attribute)
    return type(attribute).__name__, repr(attribute)
