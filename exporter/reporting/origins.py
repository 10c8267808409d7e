"""What passes left in each function: fused operators, and how many nodes each pass made or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.ops import lookup


@dataclass(frozen=True)
class FunctionOrigins:
    """Numbers of nodes by fused operator and by pass, in alphabetical order; a node counts for each of its passes."""

    name: str
    nodes: int
    fused: Mapping[str, int]
    passes: Mapping[str, int]


def measure_origins(module: Module) -> tuple[FunctionOrigins, ...]:
    """The origins of every function, the entry first."""
    return tuple(_of_graph(graph) for graph in module.graphs())


def _of_graph(graph: Graph) -> FunctionOrigins:
    fused = Counter(node.operator for node in graph.nodes if lookup(node.operator).decompose is not None)
    passes = Counter(name for node in graph.nodes for name in node.passes)
    return FunctionOrigins(graph.name, len(graph.nodes), dict(sorted(fused.items())), dict(sorted(passes.items())))
