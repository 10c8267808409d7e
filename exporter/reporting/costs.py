"""What each function of a sampling graph costs in one run of the whole loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.costs import Work, callers_first, runs_of_graphs, work_of_graphs, work_of_node


@dataclass(frozen=True)
class FunctionCost:
    """`calls` in one run of the entry, through all callers.

    `flops_per_call` has what the function calls in it, `loop_flops` (of all calls together) has not: those of all
    graphs add up to the whole run. `weight_bytes` are of the weights that its own nodes read, `constant_bytes` of its
    own constants.
    """

    calls: int
    flops_per_call: int
    loop_flops: int
    weight_bytes: int
    constant_bytes: int


def measure_functions(module: Module) -> dict[str, FunctionCost]:
    """The cost of every graph of a module, by name; the entry first, callers before what they call."""
    calls, works = runs_of_graphs(module), work_of_graphs(module)
    return {
        graph.name: FunctionCost(
            calls=calls[graph.name],
            flops_per_call=works[graph.name].flops,
            loop_flops=calls[graph.name] * _own_flops(graph, works),
            weight_bytes=sum(module.weights[name].type.nbytes for name in graph.weight_names()),
            constant_bytes=sum(node.output.type.nbytes for node in graph.nodes if node.operator == "constant"),
        )
        for graph in callers_first(module)
    }


def _own_flops(graph: Graph, works: Mapping[str, Work]) -> int:
    """Those of a graph's nodes without what its calls do."""
    return sum(work_of_node(node, works).flops for node in graph.nodes if node.operator != "call")
