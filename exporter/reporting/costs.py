"""What each function of a sampling graph costs in one run of the whole loop."""

from __future__ import annotations

from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.passes.costs import callers_first


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
    ordered = callers_first(module)
    own = {graph.name: _own_flops(graph) for graph in ordered}
    calls = dict.fromkeys(own, 0)
    calls[module.entry.name] = 1
    for graph in ordered:
        for callee in _called(graph):
            calls[callee] += calls[graph.name]
    whole: dict[str, int] = {}
    for graph in reversed(ordered):
        whole[graph.name] = own[graph.name] + sum(whole[callee] for callee in _called(graph))
    return {
        graph.name: FunctionCost(
            calls=calls[graph.name],
            flops_per_call=whole[graph.name],
            loop_flops=calls[graph.name] * own[graph.name],
            weight_bytes=sum(module.weights[name].type.nbytes for name in graph.weight_names()),
            constant_bytes=sum(node.output.type.nbytes for node in graph.nodes if node.operator == "constant"),
        )
        for graph in ordered
    }


def _called(graph: Graph) -> list[str]:
    """The function of every `call` node, as often as it is called."""
    return [str(node.attributes["function"]) for node in graph.nodes if node.operator == "call"]


def _own_flops(graph: Graph) -> int:
    return sum(
        lookup(node.operator).flops(
            [value.type for value in node.inputs], [value.type for value in node.outputs], node.attributes
        )
        for node in graph.nodes
    )
