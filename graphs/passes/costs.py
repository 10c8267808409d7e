"""What a module costs, and what a pass saved of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.ops import bytes_moved, lookup


@dataclass(frozen=True)
class Cost:
    """Nodes over all graphs, the bytes a bundle has to hold, and what one run of the entry does.

    A run's `flops` are floating-point operations, its `bytes_moved` what its nodes read and write if nothing is cached.
    """

    nodes: int
    flops: int
    bytes_moved: int
    constant_bytes: int
    weight_bytes: int


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes moved (as in `Cost`) of a node or of one run of a graph."""

    flops: int = 0
    bytes_moved: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes_moved + other.bytes_moved)


def callers_first(module: Module) -> tuple[Graph, ...]:
    """Every graph of a module, each after all graphs that call it."""
    graphs = {graph.name: graph for graph in module.graphs()}
    sorter = TopologicalSorter[str](dict.fromkeys(graphs, ()))
    for graph in graphs.values():
        for function in graph.called_functions():
            sorter.add(function, graph.name)
    return tuple(graphs[name] for name in sorter.static_order())


def runs_of_graphs(module: Module) -> dict[str, int]:
    """How often each graph runs in one run of the entry, by name."""
    runs = dict.fromkeys((graph.name for graph in module.graphs()), 0)
    runs[module.entry.name] = 1
    for graph in callers_first(module):
        for node in graph.nodes:
            if node.operator == "call":
                runs[str(node.attributes["function"])] += runs[graph.name]
    return runs


def work_of_graphs(module: Module) -> dict[str, Work]:
    """The work of one run of each graph with everything that it calls, by name."""
    works: dict[str, Work] = {}
    for graph in reversed(callers_first(module)):
        works[graph.name] = sum((work_of_node(node, works) for node in graph.nodes), Work())
    return works


def work_of_node(node: Node, functions: Mapping[str, Work]) -> Work:
    """The work of one node; a call does that of its function, from `work_of_graphs`."""
    if node.operator == "call":
        return functions[str(node.attributes["function"])]
    inputs, outputs = [value.type for value in node.inputs], [value.type for value in node.outputs]
    flops = lookup(node.operator).flops(inputs, outputs, node.attributes)
    return Work(flops, bytes_moved(node.operator, inputs, outputs))


def measure(module: Module) -> Cost:
    """The cost of a module; a function's work counts as often as it is called."""
    nodes = [node for graph in module.graphs() for node in graph.nodes]
    work = work_of_graphs(module)[module.entry.name]
    return Cost(
        nodes=len(nodes),
        flops=work.flops,
        bytes_moved=work.bytes_moved,
        constant_bytes=sum(node.output.type.nbytes for node in nodes if node.operator == "constant"),
        weight_bytes=sum(weight.type.nbytes for weight in module.weights.values()),
    )


def savings(before: Module, after: Module) -> dict[str, int]:
    """What changed in the cost, without zeros: nodes_removed, constant_bytes_added, weight_bytes_removed, and for one
    run of the entry flops_saved and bytes_saved (of those moved).
    """
    if after is before:
        return {}
    old, new = measure(before), measure(after)
    changes = {
        "nodes_removed": old.nodes - new.nodes,
        "flops_saved": old.flops - new.flops,
        "bytes_saved": old.bytes_moved - new.bytes_moved,
        "constant_bytes_added": new.constant_bytes - old.constant_bytes,
        "weight_bytes_removed": old.weight_bytes - new.weight_bytes,
    }
    return {name: change for name, change in changes.items() if change}
