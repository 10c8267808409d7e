"""Constants that are one number."""

from __future__ import annotations

from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.passes.constants import constant_array


def constant_number(graph: Graph, value: Value) -> float | None:
    """The number that a constant holds everywhere; None for any other value."""
    array = constant_array(graph, value)
    return float(array.flat[0]) if array is not None and bool((array == array.flat[0]).all()) else None
