"""Where a node came from, what passes did to it, what it costs, and what it reads."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.exporter.reporting.node_search import FoundCell, FoundValue
from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.passes.costs import Work, runs_of_graphs, work_of_graphs, work_of_node
from coopdraw.graphs.text_arrays import format_array
from coopdraw.runtime.strict_json import JsonValue

INPUT = "input"
"""What makes a value that no node makes."""
_ELIDE = 16  # elements of a constant that are still shown
_MISSED_NODE = re.compile(r"%.* \((?P<operator>[^ ,()]+), (?:Cell (?P<cell>.+)|no Cell)\)")  # see ir.Node.where

Reports = Sequence[Mapping[str, JsonValue]]
"""`passes` of a manifest; none for a file without one."""


@dataclass(frozen=True)
class NamedType:
    """A value or weight, its type and its bytes."""

    name: str
    type: str
    bytes: int


@dataclass(frozen=True)
class Neighbour:
    """A value that the node reads, or one made by a node that reads the node's, and what makes it."""

    name: str
    type: str
    operator: str
    cell: str


@dataclass(frozen=True)
class PassReport:
    """What a pass reported: runs, rewrites and notes are of the whole module, misses of this function.

    They are None for a pass that isn't in the manifest: the writer's `decomposition`, or any pass of a bare file.
    """

    name: str
    runs: int | None
    rewrites: int | None
    notes: Mapping[str, int]
    misses: int | None


@dataclass(frozen=True)
class MissedPlace:
    """A place that a pass looked at and left alone; `node` has its name at that time."""

    by: str
    node: str
    reason: str


@dataclass(frozen=True)
class NodeCost:
    """FLOPs and bytes moved of one call and of all `calls` in a run of the entry, and their shares of that run."""

    flops: int
    bytes_moved: int
    calls: int
    loop_flops: int
    loop_bytes_moved: int
    flops_share: float
    bytes_share: float


@dataclass(frozen=True)
class Explanation:
    """All that is known of one node; a function's input has the operator `input` and costs nothing."""

    function: str
    name: str
    operator: str
    attributes: Mapping[str, JsonValue]
    outputs: tuple[NamedType, ...]
    cell: str
    passes: tuple[PassReport, ...]
    misses: tuple[MissedPlace, ...]
    inputs: tuple[Neighbour, ...]
    users: tuple[Neighbour, ...]
    returned_as: tuple[str, ...]
    cost: NodeCost
    weights: tuple[NamedType, ...]


@dataclass(frozen=True)
class CellNode:
    """One line of a Cell's list."""

    name: str
    operator: str
    type: str
    cell: str
    passes: tuple[str, ...]
    cost: NodeCost


@dataclass(frozen=True)
class CellExplanation:
    """The nodes of one function that came from a Cell, what was missed there, and the cost of all of them."""

    function: str
    cell: str
    nodes: tuple[CellNode, ...]
    misses: tuple[MissedPlace, ...]
    cost: NodeCost


class Explainer:
    """Explains nodes of one module with the reports of its passes."""

    def __init__(self, module: Module, reports: Reports = ()) -> None:
        self._module = module
        self._reports = reports
        self._runs = runs_of_graphs(module)
        self._works = work_of_graphs(module)

    def explain(self, found: FoundValue) -> Explanation:
        """Everything about the node that makes a value."""
        graph, value = found.graph, found.value
        node = graph.producers.get(value)
        outputs = (value,) if node is None else node.outputs
        users = dict.fromkeys(user for output in outputs for user in graph.users.get(output, ()))
        returned = zip(graph.output_names, graph.outputs, strict=True)
        return Explanation(
            function=graph.name,
            name=value.name,
            operator=INPUT if node is None else node.operator,
            attributes={} if node is None else {name: _plain(item) for name, item in sorted(node.attributes.items())},
            outputs=tuple(NamedType(output.name, str(output.type), output.type.nbytes) for output in outputs),
            cell="" if node is None else node.source,
            passes=() if node is None else tuple(self._pass_report(name, graph) for name in node.passes),
            misses=() if node is None else tuple(self._misses_at(graph, node)),
            inputs=() if node is None else tuple(_neighbour(graph, item) for item in node.inputs),
            users=tuple(_neighbour(graph, user.outputs[0]) for user in users),
            returned_as=tuple(name for name, output in returned if output in outputs),
            cost=self._cost(graph, () if node is None else (node,)),
            weights=() if node is None else tuple(self._weights_of(graph, node)),
        )

    def explain_cell(self, found: FoundCell) -> CellExplanation:
        """Every node that came from a Cell."""
        graph, nodes = found.graph, found.nodes()
        return CellExplanation(
            function=graph.name,
            cell=found.cell,
            nodes=tuple(
                CellNode(
                    node.outputs[0].name,
                    node.operator,
                    str(node.outputs[0].type),
                    node.source,
                    node.passes,
                    self._cost(graph, (node,)),
                )
                for node in nodes
            ),
            misses=tuple(
                miss
                for miss, _, cell in self._misses_in(graph)
                if cell == found.cell or cell.startswith(f"{found.cell}.")
            ),
            cost=self._cost(graph, nodes),
        )

    def _pass_report(self, name: str, graph: Graph) -> PassReport:
        reports = [report for report in self._reports if report.get("name") == name]
        if not reports:
            return PassReport(name, None, None, {}, None)
        notes: Counter[str] = Counter()
        for report in reports:
            found = report.get("notes")
            notes.update({key: _whole(number) for key, number in found.items()} if isinstance(found, dict) else {})
        return PassReport(
            name,
            sum(_whole(report.get("runs")) for report in reports),
            sum(_whole(report.get("rewrites")) for report in reports),
            {key: notes[key] for key in sorted(notes)},
            sum(miss.by == name for miss, _, _ in self._misses_in(graph)),
        )

    def _misses_in(self, graph: Graph) -> Iterator[tuple[MissedPlace, str, str]]:
        """What passes missed in a function, each with the operator and the Cell of the place."""
        for report in self._reports:
            misses = report.get("misses")
            for miss in misses if isinstance(misses, list) else ():
                if not isinstance(miss, dict) or miss.get("graph") != graph.name:
                    continue
                node = str(miss.get("node"))
                place = _MISSED_NODE.fullmatch(node)
                operator, cell = (place["operator"], place["cell"] or "") if place is not None else ("", "")
                yield MissedPlace(str(report.get("name")), node, str(miss.get("reason"))), operator, cell

    def _misses_at(self, graph: Graph, node: Node) -> Iterator[MissedPlace]:
        """Misses at nodes of this operator and Cell: names of values are not kept in a file, these are."""
        for miss, operator, cell in self._misses_in(graph):
            if (operator, cell) == (node.operator, node.source):
                yield miss

    def _cost(self, graph: Graph, nodes: Sequence[Node]) -> NodeCost:
        work = sum((work_of_node(node, self._works) for node in nodes), Work())
        whole, calls = self._works[self._module.entry.name], self._runs[graph.name]
        loop = Work(work.flops * calls, work.bytes_moved * calls)
        return NodeCost(
            work.flops,
            work.bytes_moved,
            calls,
            loop.flops,
            loop.bytes_moved,
            loop.flops / whole.flops if whole.flops else 0.0,
            loop.bytes_moved / whole.bytes_moved if whole.bytes_moved else 0.0,
        )

    def _weights_of(self, graph: Graph, node: Node) -> Iterator[NamedType]:
        """The weights that a node reads, as they are or through nodes of one input; a call reads its function's."""
        names = dict.fromkeys(name for value in node.inputs for name in _weight_behind(graph, value))
        if node.operator == "weight":
            names = {str(node.attributes["name"]): None}
        if node.operator == "call":
            names |= dict.fromkeys(self._weights_of_function(str(node.attributes["function"])))
        for name in names:
            type = self._module.weights[name].type
            yield NamedType(name, str(type), type.nbytes)

    def _weights_of_function(self, name: str) -> list[str]:
        """The weights of a function and of those that it calls."""
        reached, waiting = dict[str, None](), [name]
        while waiting:
            function = waiting.pop()
            if function not in reached:
                reached[function] = None
                waiting += self._module.functions[function].called_functions()
        return [weight for function in reached for weight in self._module.functions[function].weight_names()]


def _weight_behind(graph: Graph, value: Value) -> Iterator[str]:
    maker = graph.producers.get(value)
    while maker is not None and len(maker.inputs) == 1 and maker.operator != "call":
        maker = graph.producers.get(maker.inputs[0])
    if maker is not None and maker.operator == "weight":
        yield str(maker.attributes["name"])


def _neighbour(graph: Graph, value: Value) -> Neighbour:
    maker = graph.producers.get(value)
    operator, cell = (INPUT, "") if maker is None else (maker.operator, maker.source)
    return Neighbour(value.name, str(value.type), operator, cell)


def _plain(attribute: Attribute) -> JsonValue:
    """An attribute as JSON can hold it: arrays as the text form has them, numbers that JSON lacks as text."""
    if isinstance(attribute, np.ndarray):
        return format_array(attribute, _ELIDE)
    if isinstance(attribute, tuple):
        return [_plain(item) for item in attribute]
    if isinstance(attribute, float) and not math.isfinite(attribute):
        return str(attribute)
    return attribute


def _whole(number: JsonValue) -> int:
    """A number of a report, which may hold anything."""
    return number if type(number) is int else 0
