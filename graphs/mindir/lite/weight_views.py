"""Weights as models read them: some rows, or another shape, of bytes that lie in a file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.types import TensorType


@dataclass(frozen=True)
class WeightView:
    """`type` values of the weight `name`, from byte `offset` of it."""

    name: str
    type: TensorType
    offset: int = 0

    @property
    def label(self) -> str:
        """A name that no other view has."""
        return f"{self.name}:{self.type}:{self.offset}"

    def place(self, whole: Placement) -> Placement:
        return replace(whole, offset=whole.offset + self.offset, length=self.type.nbytes)


def weight_view(graph: Graph, node: Node) -> WeightView | None:
    """What a node reads of a weight: all of it, its rows, or either in another shape; None for any other node."""
    if node.operator == "weight":
        return WeightView(str(node.attributes["name"]), node.output.type)
    producer = graph.producers.get(node.inputs[0]) if node.operator in ("reshape", "slice") else None
    view = None if producer is None else weight_view(graph, producer)
    if view is None or node.operator == "reshape":
        return None if view is None else replace(view, type=node.output.type)
    begin, end, stride = (node.attributes[name] for name in ("begin", "end", "stride"))
    shape = view.type.shape
    assert isinstance(begin, tuple)
    assert isinstance(end, tuple)
    if begin[1:] != (0,) * (len(shape) - 1) or end[1:] != shape[1:] or stride != (1,) * len(shape):
        return None
    return replace(view, type=node.output.type, offset=view.offset + int(begin[0]) * (view.type.nbytes // shape[0]))
