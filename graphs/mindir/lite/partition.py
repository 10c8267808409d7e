"""Takes a program apart into models that call nothing and the order in which they run.

A function without calls is a model. What lies between calls (guidance, sampler steps, joining of batches) becomes small
models; those have their numbers as inputs, so that the steps of a loop, which differ in numbers alone, share one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.mindir.lite.flat_program import FlatProgram, computing_part
from coopdraw.graphs.passes.constants import array_key
from coopdraw.graphs.passes.rewriter import free_name


@dataclass(frozen=True)
class Run:
    """One run of a model."""

    model: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class Partition:
    """Models by name, and their runs: each reads inputs, stored values and outputs of runs before it."""

    models: Mapping[str, Graph]
    inputs: tuple[Value, ...]
    stored: Mapping[Value, np.ndarray]
    runs: tuple[Run, ...]
    outputs: tuple[Value, ...]
    output_names: tuple[str, ...]


def partition(module: Module) -> Partition:
    """The models and runs of a module whose operators are plain."""
    program = FlatProgram(module)
    models = {name: computing_part(graph) for name, graph in sorted(module.functions.items())}
    between = _BetweenCalls(set(models), program.stored)
    runs = []
    for group in _ordered(program.nodes):
        if group[0].operator == "call":
            runs.append(Run(str(group[0].attributes["function"]), group[0].inputs, group[0].outputs))
        else:
            runs.append(between.run(group, _needed_outside(group, program)))
    models |= between.models
    used = {run.model for run in runs}
    stored = {value: program.array(value) for value in _read(runs, program.outputs) if value in program.stored}
    return Partition(
        {name: graph for name, graph in models.items() if name in used},
        module.entry.inputs,
        stored,
        tuple(runs),
        program.outputs,
        module.entry.output_names,
    )


def _read(runs: Iterable[Run], outputs: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys([*(value for run in runs for value in run.inputs), *outputs]))


def _needed_outside(group: Sequence[Node], program: FlatProgram) -> tuple[Value, ...]:
    inside = set(group)
    wanted = set(program.outputs).union(*(node.inputs for node in program.nodes if node not in inside))
    return tuple(value for node in group for value in node.outputs if value in wanted)


def _ordered(nodes: Sequence[Node]) -> list[list[Node]]:
    """Calls alone, the nodes between them in connected groups, each right before the first that needs it.

    Nodes join only where equally many calls lie before them on the longest way, which keeps groups free of circles.
    """
    groups = _groups(nodes, _depths(nodes))
    by_value = {value: group for group in groups for node in group for value in node.outputs}
    ordered, seen = list[list[Node]](), set[int]()

    def visit(group: list[Node]) -> None:
        if id(group) in seen:
            return
        seen.add(id(group))
        for node in group:
            for value in node.inputs:
                if value in by_value and by_value[value] is not group:
                    visit(by_value[value])
        ordered.append(group)

    for group in [*(g for g in groups if g[0].operator == "call"), *groups]:
        visit(group)
    return ordered


def _depths(nodes: Sequence[Node]) -> dict[Value, int]:
    """How many calls lie before each value on the longest way."""
    depths: dict[Value, int] = {}
    for node in nodes:
        depth = max((depths.get(value, 0) for value in node.inputs), default=0) + (node.operator == "call")
        depths.update(dict.fromkeys(node.outputs, depth))
    return depths


def _groups(nodes: Sequence[Node], depths: Mapping[Value, int]) -> list[list[Node]]:
    """Calls alone; other nodes with those of their depth that they read."""
    groups: dict[Value, list[Node]] = {}
    for node in nodes:
        own = [node]
        if node.operator != "call":
            for value in node.inputs:
                other = groups.get(value)
                if (
                    other is None
                    or other is own
                    or other[0].operator == "call"
                    or depths[value] != depths[node.outputs[0]]
                ):
                    continue
                own = other + own
                groups.update({output: own for member in own for output in member.outputs})
        groups.update(dict.fromkeys(node.outputs, own))
    unique = {id(group): group for group in groups.values()}
    order = {node: index for index, node in enumerate(nodes)}
    return sorted(
        (sorted(group, key=order.__getitem__) for group in unique.values()), key=lambda group: order[group[0]]
    )


class _BetweenCalls:
    """Makes models of groups of nodes; groups of one structure share one.

    Of what is stored, single numbers become inputs, and the rest stays in the model.
    """

    def __init__(self, taken: set[str], stored: Mapping[Value, Node]) -> None:
        self._taken = taken
        self._inside = {value: node for value, node in stored.items() if value.type.size > 1}
        self._names: dict[Hashable, str] = {}
        self.models: dict[str, Graph] = {}

    def run(self, group: Sequence[Node], outputs: tuple[Value, ...]) -> Run:
        read = tuple(dict.fromkeys(value for node in group for value in node.inputs))
        nodes = [*(self._inside[value] for value in read if value in self._inside), *group]
        made = {value for node in nodes for value in node.outputs}
        inputs = tuple(value for value in read if value not in made)
        key = _structure(nodes, inputs, outputs)
        if key not in self._names:
            name = self._names[key] = free_name("between", self._taken)
            self._taken.add(name)
            self.models[name] = _graph(name, nodes, inputs, outputs)
        return Run(self._names[key], inputs, outputs)


def _structure(group: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> Hashable:
    """Equal for groups that compute the same from inputs of the same types."""
    numbers = {value: index for index, value in enumerate(inputs)}
    rows: list[Hashable] = [tuple((value.type.dtype, value.type.shape) for value in inputs)]
    for node in group:
        attributes = tuple(
            (name, array_key(value) if isinstance(value, np.ndarray) else value)
            for name, value in sorted(node.attributes.items())
        )
        rows.append((node.operator, attributes, tuple(numbers[value] for value in node.inputs)))
        numbers.update({value: len(numbers) + index for index, value in enumerate(node.outputs)})
    return (*rows, tuple(numbers[value] for value in outputs))


def _graph(name: str, group: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """A graph of its own, with names that are free of each other."""
    values: dict[Value, Value] = {}
    taken: set[str] = set()
    for value in (*inputs, *(output for node in group for output in node.outputs)):
        values[value] = Value(free_name(value.name, taken), value.type)
        taken.add(values[value].name)
    nodes = [
        Node(
            node.operator,
            tuple(values[value] for value in node.inputs),
            tuple(values[value] for value in node.outputs),
            node.attributes,
            node.source,
            node.passes,
        )
        for node in group
    ]
    results = tuple(values[value] for value in outputs)
    return Graph(name, tuple(values[value] for value in inputs), tuple(nodes), results, tuple(v.name for v in results))
