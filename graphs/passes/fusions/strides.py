"""What views do to the places of elements, followed with NumPy's strides; the elements themselves don't matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.constants import constant_array

Step: TypeAlias = tuple[Node, Value]
"""A node that may make a view of its first input, and which of its outputs is meant."""


def dense(shape: tuple[int, ...]) -> np.ndarray:
    """A tensor in C order, one byte an element; its pages are never touched unless a reshape has to copy them."""
    return np.empty(shape, np.int8)


def apply_views(graph: Graph, steps: Sequence[Step], x: np.ndarray) -> np.ndarray | None:
    """What the nodes make of x one after another, if that is a view of x; None if elements have to move.

    Of reshapes in a row only the last one counts, as the others may merge axes that no view can.
    """
    view: np.ndarray | None = x
    for index, (node, output) in enumerate(steps):
        reshapes = [step.operator == "reshape" for step, _ in steps[index : index + 2]]
        if view is not None and reshapes != [True, True]:
            view = _apply(graph, node, output, view)
    return view


def _apply(graph: Graph, node: Node, output: Value, x: np.ndarray) -> np.ndarray | None:
    if node.operator == "reshape":
        reshaped = x.reshape(output.type.shape)
        return reshaped if np.may_share_memory(reshaped, x) else None
    if node.operator == "transpose":
        return x.transpose(node.attributes["permutation"])  # type: ignore[arg-type]
    if node.operator == "slice":
        bounds = [node.attributes[key] for key in ("begin", "end", "stride")]
        return x[(*map(slice, *bounds), ...)]  # type: ignore[arg-type]  # the dots keep a 0-d array an array
    if node.operator == "split":
        axis, sizes = node.attributes["axis"], node.attributes["sizes"]
        ends = np.cumsum(sizes)  # type: ignore[arg-type]
        return np.split(x, ends[:-1], axis)[node.outputs.index(output)]  # type: ignore[arg-type]
    if node.operator == "gather":
        return _gathered(graph, node, x)
    return None


def _gathered(graph: Graph, node: Node, x: np.ndarray) -> np.ndarray | None:
    """A gather of one constant index drops its axis, or keeps it with extent 1."""
    indices, axis = constant_array(graph, node.inputs[1]), node.attributes["axis"]
    assert isinstance(axis, int)
    if indices is None or indices.size != 1:
        return None
    index = int(indices.reshape(()))
    if not 0 <= index < x.shape[axis]:
        return None
    piece = x[(slice(None),) * axis + (slice(index, index + 1),)]
    return piece.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def same_places(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether two views of one tensor have each element at the same place."""
    if x.shape != y.shape or x.ctypes.data != y.ctypes.data:
        return False
    return all(a == b for a, b, extent in zip(x.strides, y.strides, x.shape, strict=True) if extent > 1)


def offset_in(x: np.ndarray, base: np.ndarray) -> int:
    """Elements of `base` (one byte each) before the first one of x."""
    return x.ctypes.data - base.ctypes.data


def is_dense(x: np.ndarray, base: np.ndarray) -> bool:
    """Whether x has all elements of `base` in the same order."""
    return x.size == math.prod(base.shape) and x.flags.c_contiguous and offset_in(x, base) == 0
