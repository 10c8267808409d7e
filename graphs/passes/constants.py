"""Constants in graphs: reading, making and comparing them."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value


def constant_array(graph: Graph, value: Value) -> np.ndarray | None:
    """The array of a value that a `constant` node makes; None for any other value."""
    node = graph.producers.get(value)
    return np.asarray(node.attributes["value"]) if node is not None and node.operator == "constant" else None


def constant_node(value: Value, array: np.ndarray, source: str) -> Node:
    """A node that makes `value` a constant, stored in C order."""
    return Node("constant", (), (value,), {"value": np.asarray(array, order="C")}, source)


def array_key(array: np.ndarray) -> Hashable:
    """Dtype, shape and a hash of the C-order bytes: tells 0.0 from -0.0, and doesn't keep large arrays alive."""
    data = np.asarray(array, order="C").reshape(-1).view(np.uint8)
    return array.dtype.name, array.shape, hashlib.sha256(data.data).digest()
