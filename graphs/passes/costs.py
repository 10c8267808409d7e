"""What a module costs, and what a pass saved of it."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter

from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.ops import lookup


@dataclass(frozen=True)
class Cost:
    """Nodes over all graphs, floating-point operations of one run of the entry, and the bytes a bundle has to hold."""

    nodes: int
    flops: int
    constant_bytes: int
    weight_bytes: int


def callers_first(module: Module) -> tuple[Graph, ...]:
    """Every graph of a module, each after all graphs that call it."""
    graphs = {graph.name: graph for graph in module.graphs()}
    sorter = TopologicalSorter[str](dict.fromkeys(graphs, ()))
    for graph in graphs.values():
        for function in graph.called_functions():
            sorter.add(function, graph.name)
    return tuple(graphs[name] for name in sorter.static_order())


def measure(module: Module) -> Cost:
    """The cost of a module; a function's FLOPs count as often as it is called."""
    runs = dict.fromkeys((graph.name for graph in module.graphs()), 0)
    runs[module.entry.name] = 1
    nodes = flops = constant_bytes = 0
    for graph in callers_first(module):
        nodes += len(graph.nodes)
        for node in graph.nodes:
            if node.operator == "call":
                runs[str(node.attributes["function"])] += runs[graph.name]
            elif node.operator == "constant":
                constant_bytes += node.output.type.nbytes
            inputs, outputs = [value.type for value in node.inputs], [value.type for value in node.outputs]
            flops += runs[graph.name] * lookup(node.operator).flops(inputs, outputs, node.attributes)
    return Cost(nodes, flops, constant_bytes, sum(weight.type.nbytes for weight in module.weights.values()))


def savings(before: Module, after: Module) -> dict[str, int]:
    """What changed in the cost: nodes_removed, flops_saved, constant_bytes_added, weight_bytes_removed; no zeros."""
    if after is before:
        return {}
    old, new = measure(before), measure(after)
    changes = {
        "nodes_removed": old.nodes - new.nodes,
        "flops_saved": old.flops - new.flops,
        "constant_bytes_added": new.constant_bytes - old.constant_bytes,
        "weight_bytes_removed": old.weight_bytes - new.weight_bytes,
    }
    return {name: change for name, change in changes.items() if change}
