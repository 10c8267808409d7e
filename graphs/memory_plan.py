"""Where the values of a program could lie in one block of memory, and how large it must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coopdraw.graphs.ir import Graph, Module, Node, Value

ALIGNMENT = 64
"""Offsets are multiples of this many bytes, and so are sizes, rounded up."""
_VIEWS = frozenset({"identity", "reshape"})


@dataclass(frozen=True)
class GraphPlan:
    """The plan of one graph and what it calls; a graph is planned once, however often it is called.

    `offsets` are in bytes from the start of the graph's own part of the memory, which has `own_bytes`; what it calls
    begins behind it. `unshared_bytes` are those of all its own values, each in a place of its own. `peak_bytes` are the
    bytes that are live while the node `peak` runs, with those of the function that it calls: no plan needs less.
    `arena_bytes` is what this plan needs, with the largest of what the graph calls.
    """

    graph: Graph
    offsets: Mapping[Value, int]
    unshared_bytes: int
    own_bytes: int
    arena_bytes: int
    peak_bytes: int
    peak: Node | None


@dataclass(frozen=True)
class MemoryPlan:
    """The plans of the entry and of every function that it reaches, by name.

    Inputs and outputs of a graph lie in its caller's memory (those of the entry in the host's), weights and constants
    where they were loaded: none of them is in the plan. identity, and reshape where its result isn't an output, give
    another name to the bytes they read. No operator writes over its own inputs.
    """

    entry: str
    graphs: Mapping[str, GraphPlan]

    @property
    def unshared_bytes(self) -> int:
        """Bytes of all values of all graphs, each in a place of its own, a function's once."""
        return sum(plan.unshared_bytes for plan in self.graphs.values())

    @property
    def peak_bytes(self) -> int:
        """The most bytes that are live at one time: a lower bound of any plan."""
        return self.graphs[self.entry].peak_bytes

    @property
    def arena_bytes(self) -> int:
        """What one run of the entry needs."""
        return self.graphs[self.entry].arena_bytes

    @property
    def peak(self) -> tuple[tuple[str, Node], ...]:
        """Where most bytes are live: the graph and its node, from the entry down through calls."""
        path: list[tuple[str, Node]] = []
        name: str | None = self.entry
        while name is not None:
            node = self.graphs[name].peak
            if node is None:
                break
            path.append((name, node))
            name = str(node.attributes["function"]) if node.operator == "call" else None
        return tuple(path)

    def notes(self) -> dict[str, int]:
        """The three sizes in bytes, as a pass reports numbers."""
        return {
            "unshared_bytes": self.unshared_bytes,
            "peak_bytes": self.peak_bytes,
            "arena_bytes": self.arena_bytes,
        }


def plan_memory(module: Module) -> MemoryPlan:
    """Plans the entry and what it calls, with nodes in the order of their graphs."""
    plans: dict[str, GraphPlan] = {}
    _plan(module, module.entry, plans)
    return MemoryPlan(module.entry.name, plans)


def aligned(nbytes: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return nbytes + -nbytes % ALIGNMENT


@dataclass(frozen=True)
class _Buffer:
    """The bytes of a value and of its views, live from the node `first` to the node `last` (indices)."""

    values: tuple[Value, ...]
    first: int
    last: int

    @cached_property
    def nbytes(self) -> int:
        return aligned(self.values[0].type.nbytes)


def _plan(module: Module, graph: Graph, plans: dict[str, GraphPlan]) -> GraphPlan:
    """The plan of a graph after those of the functions that it calls, all kept in `plans`."""
    if graph.name in plans:
        return plans[graph.name]
    called = {name: _plan(module, module.functions[name], plans) for name in graph.called_functions()}
    buffers = _buffers(graph)
    offsets = _assign(buffers)
    live = [0] * len(graph.nodes)
    for buffer in buffers:
        for index in range(buffer.first, buffer.last + 1):
            live[index] += buffer.nbytes
    for index, node in enumerate(graph.nodes):
        if node.operator == "call":
            live[index] += called[str(node.attributes["function"])].peak_bytes
    peak = max(live, default=0)
    own = max((offset + buffer.nbytes for buffer, offset in zip(buffers, offsets, strict=True)), default=0)
    plan = GraphPlan(
        graph=graph,
        offsets={value: offset for buffer, offset in zip(buffers, offsets, strict=True) for value in buffer.values},
        unshared_bytes=sum(buffer.nbytes for buffer in buffers),
        own_bytes=own,
        arena_bytes=own + max((plan.arena_bytes for plan in called.values()), default=0),
        peak_bytes=peak,
        peak=graph.nodes[live.index(peak)] if peak else None,
    )
    plans[graph.name] = plan
    return plan


def _buffers(graph: Graph) -> list[_Buffer]:
    """What needs memory of the graph's own, in the order of definition."""
    roots: dict[Value, Value] = {}
    first: dict[Value, int] = {}
    last: dict[Value, int] = {}
    views: dict[Value, list[Value]] = {}
    outputs = set(graph.outputs)
    for index, node in enumerate(graph.nodes):
        for value in node.inputs:
            root = roots.get(value)
            if root is not None:
                last[root] = index
        if node.operator in ("weight", "constant"):
            continue
        for value in node.outputs:
            root = roots.get(node.inputs[0]) if node.operator in _VIEWS else value
            if value in outputs or root is None:
                continue
            roots[value] = root
            first.setdefault(root, index)
            last[root] = index
            views.setdefault(root, []).append(value)
    return [_Buffer(tuple(values), first[root], last[root]) for root, values in views.items()]


def _assign(buffers: Sequence[_Buffer]) -> list[int]:
    """An offset for each buffer: the largest first, each into the smallest gap between those that live with it."""
    offsets = [0] * len(buffers)
    placed = np.zeros((4, len(buffers)), np.int64)  # first, last, begin and end of the buffers that have a place
    order = sorted(range(len(buffers)), key=lambda index: (-buffers[index].nbytes, buffers[index].first))
    for count, index in enumerate(order):
        buffer = buffers[index]
        first, last, begin, end = placed[:, :count]
        together = (first <= buffer.last) & (last >= buffer.first)
        offsets[index] = _best_gap(begin[together], end[together], buffer.nbytes)
        placed[:, count] = buffer.first, buffer.last, offsets[index], offsets[index] + buffer.nbytes
    return offsets


def _best_gap(begin: np.ndarray, end: np.ndarray, nbytes: int) -> int:
    """The start of the smallest gap of at least `nbytes` between [begin, end) ranges, else the end of the last one."""
    order = np.argsort(begin, kind="stable")
    starts = np.concatenate([[0], np.maximum.accumulate(end[order])])
    sizes = begin[order] - starts[:-1]
    fitting = np.flatnonzero(sizes >= nbytes)
    if len(fitting) == 0:
        return int(starts[-1])
    return int(starts[fitting[np.argmin(sizes[fitting])]])
