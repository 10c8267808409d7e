"""The weights and constants that layers read: who else reads them, and what takes their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import takewhile

from coopdraw.graphs.ir import Graph, Module, Node, Value


def is_plain(graph: Graph, value: Value) -> bool:
    """Whether a value is a weight or a constant."""
    node = graph.producers.get(value)
    return node is not None and node.operator in ("weight", "constant")


def weight_uses(module: Module) -> Counter[str]:
    """How many operands of nodes and results of graphs each weight is, over the whole module."""
    uses = Counter[str]()
    for graph in module.graphs():
        names = {node.output: str(node.attributes["name"]) for node in graph.nodes if node.operator == "weight"}
        read = [value for node in graph.nodes for value in node.inputs] + list(graph.outputs)
        uses.update(names[value] for value in read if value in names)
    return uses


def why_shared(graph: Graph, value: Value, uses: Counter[str]) -> str | None:
    """Why a layer can't have `value` changed for itself; None if it is a weight or constant that nothing else reads."""
    if not is_plain(graph, value):
        return f"its operand %{value.name} is neither a weight nor a constant"
    node = graph.producers[value]
    if node.operator == "weight":
        name = str(node.attributes["name"])
        return f"the weight {name} is read elsewhere too and would be stored twice" if uses[name] > 1 else None
    read = [each for user in graph.users.get(value, ()) for each in user.inputs] + list(graph.outputs)
    return f"the constant %{value.name} is read elsewhere too" if read.count(value) > 1 else None


def common_path(paths: Iterable[str]) -> str:
    """The Cell that all these Cells, by their dotted paths, are in."""
    return ".".join(common_start([path.split(".") for path in paths]))


def common_start(rows: Sequence[Sequence[str]]) -> list[str]:
    """What all rows begin with."""
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*rows, strict=False))]


def weight_node(value: Value, name: str, source: str) -> Node:
    """A node that makes `value` a weight of the module."""
    return Node("weight", (), (value,), {"name": name}, source)
