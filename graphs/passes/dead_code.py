"""Removes what the outputs of the entry don't depend on, through calls."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Pass, PassResult
from coopdraw.graphs.passes.costs import savings


@dataclass(frozen=True)
class DeadCode(Pass):
    """Removes nodes, functions, weights, inputs and function outputs that no output of the entry depends on.

    The whole module is looked at together: an argument that a function only needs for an output nobody reads goes too,
    even if a loop hands it from call to call. Inputs of the entry that nothing reads are removed; its outputs stay.
    """

    name = "dead-code"

    def run(self, module: Module) -> PassResult:
        live = _Liveness(module)
        functions = {name: live.trim(graph) for name, graph in module.functions.items() if live.values[name]}
        entry = live.trim(module.entry)
        named = {name for graph in (entry, *functions.values()) for name in graph.weight_names()}
        weights = {name: weight for name, weight in module.weights.items() if name in named}
        trimmed = Module(entry, functions, weights)
        left = _sizes(trimmed)
        counts = {name: count - left[name] for name, count in _sizes(module).items()}
        if not any(counts.values()):
            return PassResult(module, False)
        notes = savings(module, trimmed) | {f"{name}_removed": count for name, count in counts.items() if count}
        return PassResult(trimmed, True, sum(counts.values()), notes=notes)


def _sizes(module: Module) -> dict[str, int]:
    """How many there are of everything that the pass can remove."""
    graphs = module.graphs()
    return {
        "nodes": sum(len(graph.nodes) for graph in graphs),
        "functions": len(module.functions),
        "weights": len(module.weights),
        "inputs": sum(len(graph.inputs) for graph in graphs),
        "outputs": sum(len(graph.outputs) for graph in graphs),
    }


class _Liveness:
    """Which values of each graph the entry's outputs depend on: the least solution, by a worklist from the outputs."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.values: dict[str, set[Value]] = {graph.name: set() for graph in module.graphs()}
        self.outputs: dict[str, set[int]] = {name: set() for name in module.functions}
        self._sites: dict[str, dict[tuple[str, Node], Graph]] = defaultdict(dict)
        self._pending: list[tuple[Graph, Value]] = []
        for value in module.entry.outputs:
            self._demand(module.entry, value)
        while self._pending:
            self._visit(*self._pending.pop())

    def _demand(self, graph: Graph, value: Value) -> None:
        if value not in self.values[graph.name]:
            self.values[graph.name].add(value)
            self._pending.append((graph, value))

    def _visit(self, graph: Graph, value: Value) -> None:
        node = graph.producers.get(value)
        if node is None:
            index = graph.inputs.index(value)
            for (_, site), caller in self._sites[graph.name].items():
                self._demand(caller, site.inputs[index])
        elif node.operator == "call":
            self._visit_call(graph, node, node.outputs.index(value))
        else:
            for operand in node.inputs:
                self._demand(graph, operand)

    def _visit_call(self, caller: Graph, site: Node, output: int) -> None:
        function = self.module.functions[str(site.attributes["function"])]
        self._sites[function.name][caller.name, site] = caller
        self.outputs[function.name].add(output)
        self._demand(function, function.outputs[output])
        for argument, parameter in zip(site.inputs, function.inputs, strict=True):
            if parameter in self.values[function.name]:
                self._demand(caller, argument)

    def trim(self, graph: Graph) -> Graph:
        """The graph with its live part; the signatures of functions shrink to what is live."""
        live = self.values[graph.name]
        nodes = [self._trim_call(node, live) for node in graph.nodes if not live.isdisjoint(node.outputs)]
        kept = self.outputs.get(graph.name, range(len(graph.outputs)))
        return replace(
            graph,
            inputs=tuple(value for value in graph.inputs if value in live),
            nodes=tuple(nodes),
            outputs=tuple(value for index, value in enumerate(graph.outputs) if index in kept),
            output_names=tuple(name for index, name in enumerate(graph.output_names) if index in kept),
        )

    def _trim_call(self, node: Node, live: set[Value]) -> Node:
        if node.operator != "call":
            return node
        function = self.module.functions[str(node.attributes["function"])]
        needed = self.values[function.name]
        inputs = [
            argument for argument, parameter in zip(node.inputs, function.inputs, strict=True) if parameter in needed
        ]
        kept = self.outputs[function.name]
        outputs = [value for index, value in enumerate(node.outputs) if index in kept]
        return replace(node, inputs=tuple(inputs), outputs=tuple(outputs))
