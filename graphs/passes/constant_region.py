"""Finds the part of a function that depends on constant arguments only, and cuts it off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.constants import constant_array, constant_node
from coopdraw.graphs.passes.costs import callers_first
from coopdraw.graphs.passes.rewriter import used_nodes


@dataclass(frozen=True)
class Region:
    """The part of `function` that can be computed from its `arguments` (indices), its weights and its constants.

    `values` are the arguments and everything computed from at least one of them and from nothing that isn't in the
    region. Weights and constants alone aren't in it: they don't change from call to call.
    """

    function: Graph
    arguments: tuple[int, ...]
    values: frozenset[Value]

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The function's inputs that `arguments` number."""
        return tuple(self.function.inputs[index] for index in self.arguments)

    @cached_property
    def crossing(self) -> tuple[Value, ...]:
        """Values of the region, parameters included, that the rest of the function reads, in order of definition."""
        read = {value for node in self.function.nodes if not self._holds(node) for value in node.inputs}
        return tuple(value for value in self.function.values if value in self.values and value in read)

    @cached_property
    def computed(self) -> tuple[Value, ...]:
        """What calls have to know once the region is gone: values that cross or are returned, without parameters."""
        needed = {*self.crossing, *self.function.outputs} - {*self.parameters}
        return tuple(value for value in self.function.values if value in self.values and value in needed)

    @cached_property
    def body(self) -> Graph:
        """A graph from the parameters to `computed`."""
        nodes = used_nodes(self.function.nodes, self.computed)
        names = tuple(value.name for value in self.computed)
        return Graph(f"{self.function.name}.constant", self.parameters, nodes, self.computed, names)

    def kept_inputs(self, sunk: Collection[Value]) -> tuple[int, ...]:
        """Indices of the inputs that the rest of the function still has."""
        gone = {*self.parameters} - {*self.crossing} | {*sunk}
        return tuple(index for index, value in enumerate(self.function.inputs) if value not in gone)

    def new_inputs(self, sunk: Collection[Value]) -> tuple[Value, ...]:
        """Computed values that become inputs of the rest of the function."""
        return tuple(value for value in self.crossing if value not in self.parameters and value not in sunk)

    def kept_outputs(self) -> tuple[int, ...]:
        """Indices of the outputs that aren't in the region."""
        return tuple(index for index, value in enumerate(self.function.outputs) if value not in self.values)

    def rest(self, sunk: Mapping[Value, np.ndarray]) -> Graph:
        """The function without the region; `sunk` are crossing values that are the same at every call."""
        outputs = [self.function.outputs[index] for index in self.kept_outputs()]
        constants = [constant_node(value, array, "") for value, array in sunk.items()]
        nodes = [node for node in self.function.nodes if not self._holds(node)]
        return replace(
            self.function,
            inputs=(*(self.function.inputs[index] for index in self.kept_inputs(sunk)), *self.new_inputs(sunk)),
            nodes=used_nodes([*constants, *nodes], outputs),
            outputs=tuple(outputs),
            output_names=tuple(self.function.output_names[index] for index in self.kept_outputs()),
        )

    def _holds(self, node: Node) -> bool:
        return not self.values.isdisjoint(node.outputs)


def region(function: Graph, arguments: Collection[int]) -> Region:
    """The largest region that those arguments of a function give."""
    fixed: set[Value] = set()
    values = {function.inputs[index] for index in arguments}
    for node in function.nodes:
        if all(value in fixed or value in values for value in node.inputs):
            (fixed if values.isdisjoint(node.inputs) else values).update(node.outputs)
    return Region(function, tuple(sorted(arguments)), frozenset(values))


def constant_arguments(module: Module) -> dict[str, frozenset[int]]:
    """For each called function, the arguments that are constants at every call site.

    A constant is what a `constant` node makes or what a calling function computes from its own constant arguments.
    """
    known: dict[str, frozenset[int]] = {}
    for graph in callers_first(module):
        derived = region(graph, known.get(graph.name, frozenset())).values
        for node in graph.nodes:
            if node.operator == "call":
                name = str(node.attributes["function"])
                here = frozenset(
                    index
                    for index, value in enumerate(node.inputs)
                    if value in derived or constant_array(graph, value) is not None
                )
                known[name] = known.get(name, here) & here
    return known


def call_sites(module: Module, function: str) -> Sequence[tuple[Graph, Node]]:
    """Every call of a function, with the graph that it is in."""
    return [
        (graph, node)
        for graph in module.graphs()
        for node in graph.nodes
        if node.operator == "call" and node.attributes["function"] == function
    ]
