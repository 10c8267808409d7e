"""Computes the parts of a linear layer one by one where only parts of its result are read."""

from __future__ import annotations

from collections.abc import Mapping

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.rewriter import Rewriter


class SplitProjections(GraphPass):
    """A linear layer, split or sliced along its columns, becomes a layer per part with those rows of the weight.

    Lite copies parts out of a result slowly, while rows of a stored weight cost nothing: they are a place in its file.
    """

    name = "split-projections"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, list[Miss]]:
        rewriter, count = Rewriter(graph), 0
        for node in graph.nodes:
            parts = _column_parts(graph, node)
            if parts is None:
                continue
            for user, ranges in parts.items():
                maker = NodeMaker(rewriter, user.source)
                results = [_part(maker, node, begin, end) for begin, end in ranges]
                maker.exchange(user, results)
            count += 1
        return (rewriter.finish() if count else graph), count, []


def _part(maker: NodeMaker, layer: Node, begin: int, end: int) -> Value:
    """The columns [begin, end) of a layer's result."""
    x, *parameters = layer.inputs
    rows = [
        maker.add(
            "slice",
            value,
            begin=(begin, *(0,) * (len(value.type.shape) - 1)),
            end=(end, *value.type.shape[1:]),
            stride=(1,) * len(value.type.shape),
        )
        for value in parameters
    ]
    return maker.add("linear", x, *rows)


def _column_parts(graph: Graph, node: Node) -> Mapping[Node, list[tuple[int, int]]] | None:
    """Which columns each user of a layer reads; None where one reads all, or where a parameter is no weight."""
    if node.operator != "linear" or node.output in graph.outputs or not graph.users.get(node.output):
        return None
    if any(_operator(graph, value) != "weight" for value in node.inputs[1:]):
        return None
    found = {user: _columns(user) for user in graph.users[node.output]}
    parts = {user: ranges for user, ranges in found.items() if ranges is not None}
    return parts if len(parts) == len(found) else None


def _operator(graph: Graph, value: Value) -> str | None:
    producer = graph.producers.get(value)
    return None if producer is None else producer.operator


def _columns(user: Node) -> list[tuple[int, int]] | None:
    """The ranges of the last axis that a split or slice takes, if it takes all of the other axes."""
    shape = user.inputs[0].type.shape
    if user.operator == "split" and user.attributes["axis"] == len(shape) - 1:
        ends = [sum(user.attributes["sizes"][: index + 1]) for index in range(len(user.outputs))]  # type: ignore[index,arg-type]
        return list(zip([0, *ends], ends, strict=False))
    if user.operator == "slice":
        begin, end, stride = (user.attributes[name] for name in ("begin", "end", "stride"))
        assert isinstance(begin, tuple)
        assert isinstance(end, tuple)
        whole = begin[:-1] == (0,) * (len(shape) - 1) and end[:-1] == shape[:-1] and stride == (1,) * len(shape)
        return [(int(begin[-1]), int(end[-1]))] if whole else None
    return None
