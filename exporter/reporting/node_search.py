"""Finds what a name on the command line means: one value of one function, or a Cell and the nodes that came from it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Node, Value

_MOST_CANDIDATES = 10
_MOST_SUGGESTIONS = 3


@dataclass(frozen=True)
class FoundValue:
    """A value of a function."""

    graph: Graph
    value: Value

    def label(self) -> str:
        """How to name it so that nothing else is meant."""
        return f"{self.graph.name}:%{self.value.name}"


@dataclass(frozen=True)
class FoundCell:
    """A Cell path that nodes of a function came from."""

    graph: Graph
    cell: str

    def label(self) -> str:
        """How to name it so that nothing else is meant."""
        return f"{self.graph.name}:@{self.cell}"

    def nodes(self) -> tuple[Node, ...]:
        """The nodes that came from the Cell or from one inside it."""
        return tuple(node for node in self.graph.nodes if self.cell in _with_parents(node.source))


def find(module: Module, text: str) -> FoundValue | FoundCell:
    """What `text` means: `[function:]%value`, `[function:]@Cell`, or either without its mark.

    Raises GraphError that lists the candidates if there are several, and near matches if there is none.
    """
    function, wanted = _split(module, text)
    graphs = [graph for graph in module.graphs() if function in (None, graph.name)]
    mark = wanted[:1] if wanted[:1] in ("%", "@") else ""
    name = wanted.removeprefix(mark)
    found: list[FoundValue | FoundCell] = []
    for graph in graphs:
        if mark != "@":
            found += [FoundValue(graph, value) for value in graph.values if value.name == name]
        if mark != "%" and name in set(_cells(graph)):
            found.append(FoundCell(graph, name))
    if not found:
        raise _unknown(module, graphs, text, name)
    if len(found) > 1:
        labels = [item.label() for item in found]
        more = f" or {len(labels) - _MOST_CANDIDATES} more" if len(labels) > _MOST_CANDIDATES else ""
        raise GraphError(f"{text} can be {', '.join(labels[:_MOST_CANDIDATES])}{more}; name one of them")
    return found[0]


def _split(module: Module, text: str) -> tuple[str | None, str]:
    function, colon, name = text.partition(":")
    is_function = function == module.entry.name or function in module.functions
    return (function, name) if colon and is_function else (None, text)


def _unknown(module: Module, graphs: Sequence[Graph], text: str, name: str) -> GraphError:
    names = [graph.name for graph in module.graphs()]
    if text.rstrip(":") in names:
        return GraphError(f"{text} is a function; look at it with `coopdraw inspect --function`, then name a value")
    function, colon, _ = text.partition(":")
    if colon and function not in names:
        similar = difflib.get_close_matches(function, names, n=_MOST_SUGGESTIONS) or names
        return GraphError(f"there is no function {function}; choose one such as {', '.join(similar)}")
    known = dict.fromkeys(f"%{value.name}" for graph in graphs for value in graph.values)
    known |= dict.fromkeys(cell for graph in graphs for cell in _cells(graph))
    matches = [*difflib.get_close_matches(f"%{name}", known, n=_MOST_SUGGESTIONS)]
    matches += difflib.get_close_matches(name, known, n=_MOST_SUGGESTIONS)
    advice = f"did you mean {', '.join(dict.fromkeys(matches))}?" if matches else "`coopdraw inspect` prints the names"
    return GraphError(f"there is no value or Cell {text}; {advice}")


def _cells(graph: Graph) -> Iterator[str]:
    for source in dict.fromkeys(node.source for node in graph.nodes):
        yield from _with_parents(source)


def _with_parents(source: str) -> list[str]:
    """`a.b.c`, `a.b` and `a`; nothing for a node without a Cell."""
    parts = source.split(".") if source else []
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
