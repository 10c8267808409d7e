"""Finds what a function computes at every call although the arguments that it needs are the same at several calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeAlias

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.constant_region import Region, call_sites, region
from coopdraw.graphs.passes.costs import Work, runs_of_graphs, work_of_graphs, work_of_node
from coopdraw.graphs.passes.rewriter import used_nodes

Group: TypeAlias = tuple[str, tuple[Value, ...]]
"""The graph that calls are in, and the invariant arguments that they share."""


@dataclass(frozen=True)
class InvariantRegion:
    """The part of a function that is worth computing once for each group of calls.

    `part.arguments` are those that the part needs; `evaluations` is how often it then runs in one run of the entry,
    `runs` how often the function does. `work` is what each call of the function saves.
    """

    part: Region
    runs: int
    evaluations: int
    work: Work

    @property
    def flops_saved(self) -> int:
        """In one run of the entry."""
        return self.work.flops * (self.runs - self.evaluations)

    @property
    def nbytes(self) -> int:
        """Bytes of all values that wait for their calls: those of each evaluation."""
        return self.evaluations * sum(value.type.nbytes for value in self.part.computed)


class LoopAnalysis:
    """How often the graphs of a module run, with what, and at which cost."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.runs = runs_of_graphs(module)
        self.works = work_of_graphs(module)

    def find(self, function: str) -> InvariantRegion | None:
        """The region of a function that saves most FLOPs, if any does.

        Sets of arguments are tried that take at most n distinct values over the calls, for every n; a smaller set gives
        a smaller region that runs less often.
        """
        sites = call_sites(self.module, function)
        graph, total = self.module.functions[function], self.runs[function]
        distinct = {index: self._evaluations(sites, (index,)) for index in range(len(graph.inputs))}
        found: list[InvariantRegion] = []
        for most in sorted({count for count in distinct.values() if count < total}):
            part = self.shrink(region(graph, [index for index, count in distinct.items() if count <= most]))
            evaluations = self._evaluations(sites, part.arguments)
            found.append(InvariantRegion(part, total, evaluations, self.work(part)))
        best = max(found, key=lambda candidate: candidate.flops_saved, default=None)
        return best if best is not None and best.flops_saved > 0 else None

    def repeated_arguments(self, function: str) -> tuple[int, ...]:
        """Indices of the arguments that are the same value at two calls at least."""
        sites = call_sites(self.module, function)
        count = len(self.module.functions[function].inputs)
        return tuple(index for index in range(count) if self._evaluations(sites, (index,)) < self.runs[function])

    def work(self, part: Region) -> Work:
        """The work of the nodes of a region."""
        nodes = [node for node in part.function.nodes if part.values.issuperset(node.outputs)]
        return sum((work_of_node(node, self.works) for node in nodes), Work())

    def shrink(self, part: Region) -> Region:
        """What is worth moving of a region, and the arguments that this needs.

        All used nodes with FLOPs and what they read move. Any other node (reshape, transpose, slice ...) moves too if
        the calls then pass no more bytes than without it, so that a transpose is done once as well.
        """
        nodes = _used_region_nodes(part)
        moved = self._paying(nodes)
        read = {value for node in nodes if node in moved for value in node.inputs}
        arguments = tuple(index for index in part.arguments if part.function.inputs[index] in read)
        values = {part.function.inputs[index] for index in arguments}
        values.update(value for node in moved for value in node.outputs)
        for node in nodes:
            ready = all(value in values for value in node.inputs if value in part.values)
            if node not in moved and ready and _passes_no_more(part.function, node, values):
                values.update(node.outputs)
        return replace(part, arguments=arguments, values=frozenset(values))

    def _paying(self, nodes: Sequence[Node]) -> AbstractSet[Node]:
        """Nodes with FLOPs and those that they depend on."""
        paying, needed = set[Node](), set[Value]()
        for node in reversed(nodes):
            if work_of_node(node, self.works).flops or not needed.isdisjoint(node.outputs):
                paying.add(node)
                needed.update(node.inputs)
        return paying

    def _evaluations(self, sites: Sequence[tuple[Graph, Node]], arguments: Sequence[int]) -> int:
        """How often the groups of calls with equal arguments run in one run of the entry."""
        return sum(self.runs[graph] for graph, _ in groups_of_calls(sites, arguments))


def groups_of_calls(sites: Sequence[tuple[Graph, Node]], arguments: Sequence[int]) -> Mapping[Group, Sequence[Node]]:
    """The calls of one function, those together that are in one graph and have the same values as these arguments."""
    groups: dict[Group, list[Node]] = {}
    for graph, node in sites:
        groups.setdefault((graph.name, tuple(node.inputs[index] for index in arguments)), []).append(node)
    return groups


def _used_region_nodes(part: Region) -> list[Node]:
    nodes = used_nodes(part.function.nodes, part.function.outputs)
    return [node for node in nodes if part.values.issuperset(node.outputs)]


def _passes_no_more(function: Graph, node: Node, moved: AbstractSet[Value]) -> bool:
    """Whether calls pass no more bytes if `node` moves too: its outputs then replace what only it still reads."""
    saved = 0
    for value in dict.fromkeys(node.inputs):
        readers = [user for user in function.users[value] if moved.isdisjoint(user.outputs)]
        if value in moved and readers == [node] and value not in function.outputs:
            saved += value.type.nbytes
    return saved >= sum(value.type.nbytes for value in node.outputs)
