"""The unified diff of a function's text forms, in which a node more doesn't rename all that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from difflib import SequenceMatcher, get_close_matches

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.text import format_graph

ELIDE = 16
"""Constants with more elements than this are shown, and compared, by their hash."""
_CONTEXT = 3  # lines around a change, as diff has it


def find_functions(before: Module, after: Module, name: str) -> tuple[Graph | None, Graph | None]:
    """The function in both modules, None where one lacks it; raises GraphError that suggests names if both do."""
    old, new = ({graph.name: graph for graph in module.graphs()} for module in (before, after))
    if name not in old and name not in new:
        known = sorted(old | new)
        similar = get_close_matches(name, known, n=3) or known[:10]
        raise GraphError(f"neither bundle has a function {name}; choose one such as {', '.join(similar)}")
    return old.get(name), new.get(name)


def function_diff(before: Graph | None, after: Graph | None) -> list[str]:
    """Lines as `diff -u` has them, none for equal functions; a function that is None is empty.

    Values are numbered through a function in the order of its nodes, so lines are the same if they are but for that:
    the names in context and removed lines are those of `before`, in added lines those of `after`.
    """
    old, new = _lines(before), _lines(after)
    matcher = SequenceMatcher(None, [key for key, _ in old], [key for key, _ in new], autojunk=False)
    found = []
    for group in matcher.get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        found.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@")
        for kind, old_start, old_end, new_start, new_end in group:
            if kind == "equal":
                found += [f" {line}" for _, line in old[old_start:old_end]]
            else:
                found += [f"-{line}" for _, line in old[old_start:old_end]]
                found += [f"+{line}" for _, line in new[new_start:new_end]]
    return found


def _lines(graph: Graph | None) -> list[tuple[str, str]]:
    """Every line of the text form, after the same line with names that don't depend on other Cells."""
    if graph is None:
        return []
    texts = [format_graph(form, ELIDE).splitlines() for form in (_renamed(graph), graph)]
    return list(zip(*texts, strict=True))


def _renamed(graph: Graph) -> Graph:
    """The graph with values named by Cell and operator and counted within these; inputs keep their names."""
    names = dict(_names(graph))
    values = {value: Value(names.get(value, value.name), value.type) for value in graph.values}
    nodes = (
        replace(
            node,
            inputs=tuple(values[value] for value in node.inputs),
            outputs=tuple(values[value] for value in node.outputs),
        )
        for node in graph.nodes
    )
    renamed = graph.with_nodes(nodes, (values[value] for value in graph.outputs))
    return replace(renamed, inputs=tuple(values[value] for value in graph.inputs))


def _names(graph: Graph) -> Iterator[tuple[Value, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for node in graph.nodes:
        place = node.source, node.operator
        if node.operator == "weight":
            place = str(node.attributes["name"]), node.operator
        counts[place] += 1
        for index, value in enumerate(node.outputs):
            yield value, f"{place[0]}/{place[1]}/{counts[place]}/{index}"


def _range(start: int, end: int) -> str:
    """Lines `start` to `end` as unified diffs count: from 1, with the length unless it is 1."""
    length = end - start
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"
