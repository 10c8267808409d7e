"""Notes on every node which passes made or changed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.common_subexpressions import attribute_key

History = tuple[str, ...]


def stamp(name: str, before: Module, after: Module) -> Module:
    """`after`, in which every node that pass `name` touched has the name in its `passes`.

    A node is touched if no node of `before` made its first output with the same operator and attributes; other operands
    alone don't count. All nodes keep the history of what made that output before. One that was touched also takes over
    that of the nodes behind it which are gone, such as the parts of a fused operator. A node whose output is new has
    what the pass gave it. No name is there twice; the one that touched the node first stays.
    """
    if after is before:
        return after
    # A graph that is in both modules keeps its notes, and its values are in no other graph.
    old_graphs = [graph for graph in before.graphs() if graph not in after.graphs()]
    new_graphs = [graph for graph in after.graphs() if graph not in before.graphs()]
    kept = {value for graph in new_graphs for node in graph.nodes for value in node.outputs}
    makers: dict[Value, Node] = {}
    histories: dict[Node, History] = {}
    for graph in old_graphs:
        makers.update(graph.producers)
        histories.update(_whole_histories(graph, kept))
    for graph in new_graphs:
        after = after.with_graph(_stamp_graph(name, makers, histories, graph))
    return after


def _whole_histories(graph: Graph, kept: set[Value]) -> dict[Node, History]:
    """The history of every node, after that of the nodes behind it of whose outputs none is in `kept`."""
    histories: dict[Node, History] = {}
    for node in graph.nodes:
        makers = (graph.producers.get(value) for value in node.inputs)
        gone = (maker for maker in makers if maker is not None and kept.isdisjoint(maker.outputs))
        histories[node] = _joined((*(name for maker in gone for name in histories[maker]), *node.passes))
    return histories


def _stamp_graph(name: str, makers: Mapping[Value, Node], histories: Mapping[Node, History], graph: Graph) -> Graph:
    return graph.with_nodes(_stamp_node(name, makers.get(node.outputs[0]), histories, node) for node in graph.nodes)


def _stamp_node(name: str, maker: Node | None, histories: Mapping[Node, History], node: Node) -> Node:
    if maker is node:
        return node
    if maker is None:
        passes = _joined((*node.passes, name))
    elif _same_work(maker, node):
        passes = maker.passes
    else:
        passes = _joined((*histories[maker], name))
    return node if passes == node.passes else replace(node, passes=passes)


def _same_work(one: Node, other: Node) -> bool:
    if one.operator != other.operator or one.attributes.keys() != other.attributes.keys():
        return False
    pairs = ((value, other.attributes[key]) for key, value in one.attributes.items())
    return all(mine is its or attribute_key(mine) == attribute_key(its) for mine, its in pairs)


def _joined(names: Iterable[str]) -> History:
    return tuple(dict.fromkeys(names))
