"""A module as one list of nodes, in which only functions that call nothing are still called."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.constants import array_key
from coopdraw.graphs.passes.rewriter import used_nodes


class FlatProgram:
    """Functions that call others are put in the place of their calls.

    Values are new, but for those of the entry's inputs. A call has the inputs and outputs of its function's
    `computing_part`. `stored` are the weights and constants, apart from `nodes` and equal ones once.
    """

    def __init__(self, module: Module) -> None:
        self._module = module
        self._kept: dict[Hashable, Value] = {}
        self._nodes: list[Node] = []
        self.stored: dict[Value, Node] = {}
        self.outputs = self._inline(module.entry, module.entry.inputs)
        self.nodes = used_nodes(self._nodes, self.outputs)

    def array(self, value: Value) -> np.ndarray:
        """The bytes of a stored value."""
        node = self.stored[value]
        if node.operator == "weight":
            return self._module.weights[str(node.attributes["name"])].read()
        return np.asarray(node.attributes["value"])

    def _inline(self, graph: Graph, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """Adds the nodes of `graph` and gives its outputs."""
        known = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            results = self._add(node, tuple(known[value] for value in node.inputs))
            known.update(zip(node.outputs, results, strict=True))
        return tuple(known[value] for value in graph.outputs)

    def _add(self, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        if node.operator in ("constant", "weight"):
            return (self._store(node),)
        if node.operator == "call":
            called = self._module.functions[str(node.attributes["function"])]
            return self._inline(called, inputs) if called.called_functions() else self._call(node, called, inputs)
        outputs = tuple(Value(value.name, value.type) for value in node.outputs)
        self._nodes.append(replace(node, inputs=inputs, outputs=outputs))
        return outputs

    def _call(self, node: Node, called: Graph, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        """Results that the function only hands through, or has stored, need no run."""
        known = dict(zip(called.inputs, inputs, strict=True))
        part = computing_part(called)
        for value in part.outputs:
            known[value] = Value(value.name, value.type)
        if part.outputs:
            arguments = tuple(known[value] for value in part.inputs)
            self._nodes.append(replace(node, inputs=arguments, outputs=tuple(known[value] for value in part.outputs)))
        for value in called.outputs:
            if value not in known:
                known[value] = self._store(called.producers[value])
        return tuple(known[value] for value in called.outputs)

    def _store(self, node: Node) -> Value:
        if node.operator == "weight":
            key: Hashable = str(node.attributes["name"])
        else:
            key = array_key(np.asarray(node.attributes["value"]))
        if key not in self._kept:
            kept = self._kept[key] = Value(node.output.name, node.output.type)
            self.stored[kept] = replace(node, outputs=(kept,))
        return self._kept[key]


def computing_part(graph: Graph) -> Graph:
    """The graph with such inputs as it reads, and each output that a node computes, once."""
    outputs: dict[Value, str] = {}
    for value, name in zip(graph.outputs, graph.output_names, strict=True):
        producer = graph.producers.get(value)
        if producer is not None and producer.operator not in ("constant", "weight"):
            outputs.setdefault(value, name)
    nodes = used_nodes(graph.nodes, outputs)
    read = {value for node in nodes for value in node.inputs}
    inputs = tuple(value for value in graph.inputs if value in read)
    return replace(graph, inputs=inputs, nodes=nodes, outputs=tuple(outputs), output_names=tuple(outputs.values()))
