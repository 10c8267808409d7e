"""The IR: values, nodes, graphs and modules. Everything is immutable; a pass builds a new graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import Weight

Attribute: TypeAlias = int | float | bool | str | tuple[int, ...] | tuple[float, ...] | np.ndarray | None
"""What a node can carry: scalars, tuples of numbers, and an array (only `constant.value`)."""


@dataclass(frozen=True, eq=False)
class Value:
    """One SSA value: a graph input or an output of a node. Compared by identity; the name is unique in its graph."""

    name: str
    type: TensorType

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(frozen=True, eq=False)
class Node:
    """One use of an operator of the table (`graphs/ops`).

    `source` is the path of the Cell the node came from, such as `input_blocks.4.1.transformer_blocks.0.attn2`. `passes`
    are the names of those that made or changed the node, oldest first; the text form and hashes don't have them.
    """

    operator: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    source: str = ""
    passes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def __repr__(self) -> str:
        outputs = ", ".join(f"%{value.name}" for value in self.outputs)
        return f"<{outputs} = {self.operator}({', '.join(f'%{value.name}' for value in self.inputs)})>"

    @property
    def output(self) -> Value:
        """The only output; raises GraphError if there are several."""
        if len(self.outputs) != 1:
            raise GraphError(f"{self.operator} in Cell {self.source!r} has {len(self.outputs)} outputs, not 1")
        return self.outputs[0]

    def where(self) -> str:
        """How an error names this node: its first output, operator and source Cell."""
        name = self.outputs[0].name if self.outputs else "?"
        return f"%{name} ({self.operator}, {f'Cell {self.source}' if self.source else 'no Cell'})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A function: inputs, nodes in topological order, outputs. `output_names` are what callers see."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    output_names: tuple[str, ...]

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        """Which node makes a value; inputs are not in it."""
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def users(self) -> Mapping[Value, tuple[Node, ...]]:
        """The nodes that read a value, once each; being a graph output is not in it."""
        found: dict[Value, dict[Node, None]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, {})[node] = None
        return {value: tuple(nodes) for value, nodes in found.items()}

    @property
    def values(self) -> Iterable[Value]:
        """Every value: inputs, then node outputs in order."""
        yield from self.inputs
        for node in self.nodes:
            yield from node.outputs

    def called_functions(self) -> tuple[str, ...]:
        """Names of the functions that `call` nodes name, in order, each once."""
        return tuple(dict.fromkeys(str(n.attributes["function"]) for n in self.nodes if n.operator == "call"))

    def weight_names(self) -> tuple[str, ...]:
        """Names of the module weights that `weight` nodes name, in order, each once."""
        return tuple(dict.fromkeys(str(n.attributes["name"]) for n in self.nodes if n.operator == "weight"))

    def with_nodes(self, nodes: Iterable[Node], outputs: Iterable[Value] | None = None) -> Graph:
        """The same graph with other nodes (and outputs)."""
        return replace(self, nodes=tuple(nodes), outputs=self.outputs if outputs is None else tuple(outputs))


@dataclass(frozen=True, eq=False)
class Module:
    """An entry graph, the functions it calls, and the weights they share (all by name)."""

    entry: Graph
    functions: Mapping[str, Graph] = field(default_factory=dict)
    weights: Mapping[str, Weight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "functions", MappingProxyType(dict(self.functions)))
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))

    def graphs(self) -> tuple[Graph, ...]:
        """The entry, then the functions in order of their names."""
        return (self.entry, *(self.functions[name] for name in sorted(self.functions)))

    def with_graph(self, graph: Graph) -> Module:
        """The same module with one graph exchanged; the graph's name says which."""
        if graph.name == self.entry.name:
            return replace(self, entry=graph)
        if graph.name not in self.functions:
            raise GraphError(f"the module has no function {graph.name}")
        return replace(self, functions={**self.functions, graph.name: graph})
