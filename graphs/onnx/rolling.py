"""Finds the loops of a program whose steps lie open one behind the other: equal groups of nodes that follow each other.

A runtime that puts functions in the place of their calls then has each network once for a loop, not once for a step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.types import TensorType

_LEAVES = ("constant", "weight")


class Inside(NamedTuple):
    """An output of a node of the same iteration."""

    node: int
    output: int


class Carried(NamedTuple):
    """A state, by its index in `Loop.states`."""

    state: int


class Stacked(NamedTuple):
    """A constant that differs between iterations, by its index in `Loop.stacks`."""

    stack: int


Source: TypeAlias = Inside | Carried | Stacked | Value
"""What an operand is in the body of a loop; a Value is one from outside."""


@dataclass(frozen=True)
class State:
    """What an iteration hands to the next. `initial` is None if only its last value counts, which is `final`."""

    type: TensorType
    initial: Value | None
    update: Inside
    final: Value


@dataclass(frozen=True)
class Loop:
    """`nodes` are those of the first iteration, `operands` say for each where its inputs come from.

    `stacks` have a constant for each of the `count` iterations.
    """

    nodes: tuple[Node, ...]
    operands: tuple[tuple[Source, ...], ...]
    states: tuple[State, ...]
    stacks: tuple[tuple[Value, ...], ...]
    count: int


def roll(graph: Graph) -> list[Node | Loop]:
    """The nodes of a graph in an order to run them in, without constants and weights, its repeated calls in loops."""
    repeated = {name for name, count in _calls(graph.nodes).items() if count > 1}
    return _Roller(graph, _shared_first(graph, repeated), repeated).items()


def _calls(nodes: Sequence[Node]) -> Counter[str]:
    return Counter(str(node.attributes["function"]) for node in nodes if node.operator == "call")


def _shared_first(graph: Graph, repeated: set[str]) -> list[Node]:
    """What several calls of one function share goes first, so that it doesn't make the step with the first special."""
    late: set[Value] = set()
    for node in graph.nodes:
        if node.attributes.get("function") in repeated or not late.isdisjoint(node.inputs):
            late.update(node.outputs)
    readers: dict[Value, Counter[object]] = {}
    for node in graph.nodes:
        if node.operator == "call":
            for value in set(node.inputs):
                readers.setdefault(value, Counter())[node.attributes["function"]] += 1
    wanted = {value for value, counts in readers.items() if max(counts.values()) > 1 and value not in late}
    first: set[Node] = set()
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.outputs):
            first.add(node)
            wanted.update(node.inputs)
    nodes = [node for node in graph.nodes if node.operator not in _LEAVES]
    return sorted(nodes, key=lambda node: node not in first)


@dataclass(frozen=True)
class _Candidate:
    start: int
    period: int
    count: int


class _Roller:
    def __init__(self, graph: Graph, nodes: Sequence[Node], repeated: set[str]) -> None:
        self._graph = graph
        self._nodes = nodes
        kinds: dict[object, int] = {}
        self._kinds = [kinds.setdefault(_kind(node), len(kinds)) for node in nodes]
        self._place = {value: (i, j) for i, node in enumerate(nodes) for j, value in enumerate(node.outputs)}
        self._last_use: dict[Value, int] = {value: len(nodes) for value in graph.outputs}
        for index, node in enumerate(nodes):
            for value in node.inputs:
                self._last_use[value] = max(index, self._last_use.get(value, 0))
        self._heavy = [node.attributes.get("function") in repeated for node in nodes]

    def items(self) -> list[Node | Loop]:
        return self._items(0, len(self._nodes))

    def _items(self, begin: int, end: int) -> list[Node | Loop]:
        best = self._best(begin, end)
        if best is None:
            return list(self._nodes[begin:end])
        stop = best.start + best.period * best.count
        return [*self._items(begin, best.start), self._loop(best), *self._items(stop, end)]

    def _best(self, begin: int, end: int) -> _Candidate | None:
        """The loop with most calls of repeated functions; of those the shortest, and of those the first."""
        best, most = None, 0
        for period in range(1, (end - begin) // 2 + 1):
            for start in range(begin, end - 2 * period + 1):
                calls = sum(self._heavy[start : start + period])
                if not calls or (end - start) // period * calls <= most:
                    continue
                count = self._count(start, period, end)
                if count > 1 and count * calls > most:
                    best, most = _Candidate(start, period, count), count * calls
        return best

    def _count(self, start: int, period: int, end: int) -> int:
        """How many iterations of `period` nodes there are from `start`; less than 2 is no loop."""
        kinds, first = self._kinds, self._kinds[start : start + period]
        if kinds[start + period] != first[0] or kinds[start + period : start + 2 * period] != first:
            return 1
        pattern = self._operands(start + period, period)
        if not self._can_start(start, period, pattern):
            return 1
        count = 2
        while (begin := start + count * period) + period <= end and kinds[begin : begin + period] == first:
            if self._operands(begin, period) != pattern:
                break
            count += 1
        while count > 1 and self._leaks(start, period, count):
            count -= 1
        return count

    def _operands(self, begin: int, period: int, first: bool = False) -> list[object]:
        """What the operands of an iteration are, seen from it: the same in every one but the first."""
        found: list[object] = []
        for node in self._nodes[begin : begin + period]:
            for value in node.inputs:
                place, output = self._place.get(value, (None, 0))
                if place is not None and begin <= place:
                    found.append(("inside", place - begin, output))
                elif place is not None and begin - period <= place and not first:
                    found.append(("carried", place - begin + period, output))
                else:
                    found.append(("constant", value.type) if self._is_constant(value) else value)
        return found

    def _can_start(self, start: int, period: int, pattern: Sequence[object]) -> bool:
        """Whether the iteration at `start` has from outside what others get from the one before, and is else alike."""
        values = [value for node in self._nodes[start : start + period] for value in node.inputs]
        for value, own, wanted in zip(values, self._operands(start, period, first=True), pattern, strict=True):
            if isinstance(wanted, tuple) and wanted[0] == "carried":
                if self._place.get(value, (-1, 0))[0] >= start:
                    return False
            elif own != wanted:
                return False
        return True

    def _leaks(self, start: int, period: int, count: int) -> bool:
        """Whether something behind the loop reads what an iteration before the last one makes."""
        last, stop = start + period * (count - 1), start + period * count
        values = (value for node in self._nodes[start:last] for value in node.outputs)
        return any(self._last_use.get(value, 0) >= stop for value in values)

    def _is_constant(self, value: Value) -> bool:
        node = self._graph.producers.get(value)
        return node is not None and node.operator == "constant"

    def _loop(self, found: _Candidate) -> Loop:
        builder = _LoopBuilder(self._nodes, found, self._place)
        pattern = self._operands(found.start + found.period, found.period)
        builder.sources(pattern)
        stop = found.start + found.period * found.count
        for index, node in enumerate(builder.iteration(found.count - 1)):
            for output, value in enumerate(node.outputs):
                if self._last_use.get(value, 0) >= stop:
                    builder.state(None, Inside(index, output))
        return builder.build()


def _kind(node: Node) -> object:
    """What must be equal for two nodes to be the same step of two iterations; their types are the values' own."""
    attributes = repr(sorted(node.attributes.items()))
    return node.operator, attributes, tuple(v.type for v in node.inputs), tuple(v.type for v in node.outputs)


class _LoopBuilder:
    def __init__(self, nodes: Sequence[Node], found: _Candidate, places: Mapping[Value, tuple[int, int]]) -> None:
        self._nodes = nodes
        self._found = found
        self._places = places
        self._operands: list[tuple[Source, ...]] = []
        self._states: list[State] = []
        self._stacks: dict[tuple[Value, ...], int] = {}

    def iteration(self, index: int) -> Sequence[Node]:
        begin = self._found.start + index * self._found.period
        return self._nodes[begin : begin + self._found.period]

    def sources(self, pattern: Sequence[object]) -> None:
        """The operands of every node from what `pattern` says of them one after the other."""
        kinds = iter(pattern)
        for index, node in enumerate(self.iteration(0)):
            self._operands.append(tuple(self._source(index, i, next(kinds)) for i in range(len(node.inputs))))

    def _source(self, node: int, operand: int, kind: object) -> Source:
        values = tuple(self.iteration(i)[node].inputs[operand] for i in range(self._found.count))
        if isinstance(kind, Value):
            return kind
        assert isinstance(kind, tuple)
        if kind[0] == "inside":
            return Inside(kind[1], kind[2])
        if kind[0] == "carried":
            return Carried(self.state(values[0], Inside(kind[1], kind[2])))
        return values[0] if len(set(values)) == 1 else Stacked(self._stacks.setdefault(values, len(self._stacks)))

    def state(self, initial: Value | None, update: Inside) -> int:
        """The index of a state; one whose start doesn't count may be any of the same update."""
        for index, known in enumerate(self._states):
            if known.update == update and initial in (None, known.initial):
                return index
        final = self.iteration(self._found.count - 1)[update.node].outputs[update.output]
        self._states.append(State(final.type, initial, update, final))
        return len(self._states) - 1

    def build(self) -> Loop:
        nodes, stacks = tuple(self.iteration(0)), tuple(self._stacks)
        return Loop(nodes, tuple(self._operands), tuple(self._states), stacks, self._found.count)
