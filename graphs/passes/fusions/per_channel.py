"""Values that are one number per channel, or per sample and channel, of a tensor (N, C, ...)."""

from __future__ import annotations

from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.types import TensorType


def per_channel(graph: Graph, value: Value, type: TensorType) -> Value | None:
    """A value of C or N * C numbers that `value` is when it is broadcast to `type`, the channels last.

    Such as (C, 1, 1), (1, C, 1, 1) and (N, C, 1, 1), or one of them widened by `broadcast_to` or `tile`; None for a
    value that differs between the elements of a channel or is the same in all channels.
    """
    rank = len(type.shape)
    padded = (1,) * (rank - len(value.type.shape)) + value.type.shape
    if len(padded) != rank or rank < 2:
        return None
    batch, channels = padded[:2]
    if channels == type.shape[1] and batch in (1, type.shape[0]) and all(extent == 1 for extent in padded[2:]):
        return value
    node = graph.producers.get(value)
    if node is None or not (
        node.operator == "broadcast_to" or (node.operator == "tile" and _only_widens(node.inputs[0], value))
    ):
        return None
    return per_channel(graph, node.inputs[0], type)


def _only_widens(narrow: Value, wide: Value) -> bool:
    """Whether a tile repeats only extents of 1."""
    return all(before in (1, after) for before, after in zip(narrow.type.shape, wide.type.shape, strict=True))


def as_rows(maker: NodeMaker, graph: Graph, value: Value, type: TensorType) -> Value:
    """What `per_channel` gave, as (N, C)."""
    batch, channels = type.shape[:2]
    rows = ViewMaker(maker, graph).reshape(value, (value.type.size // channels, channels))
    return rows if rows.type.shape[0] == batch else maker.add("broadcast_to", rows, shape=(batch, channels))
