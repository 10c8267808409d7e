"""The operands of a fused attention: where scales and casts on them end, what the mask is, how many heads there are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.fusions.chains import constant_factor, keeps_matrices, swaps_matrices
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.types import DType


class NotFusibleError(Exception):
    """Why a softmax between two products can't become an `attention`, in one sentence."""


@dataclass(frozen=True)
class Operand:
    """A factor of a product: `base`, of which `views` (reshapes and transposes) are taken again, and whose last two
    axes then are exchanged if `swapped`.
    """

    base: Value
    views: tuple[Node, ...]
    swapped: bool

    def make(self, views: ViewMaker, batch: int, heads: int) -> Value:
        """The operand as (batch, heads, length, width)."""
        value = self.base
        for node in self.views:
            if node.operator == "reshape":
                value = views.reshape(value, node.output.type.shape)
            else:
                value = views.transpose(value, node.attributes["permutation"])  # type: ignore[arg-type]
        if self.swapped:
            value = views.swap(value)
        return views.reshape(value, (batch, heads, *value.type.shape[-2:]))

    def unmerged(self, graph: Graph) -> tuple[int, ...]:
        """The extents that a reshape merged to the operand's first one; () if there is no such reshape."""
        node = graph.producers.get(self.base)
        if node is not None and swaps_matrices(node):
            node = graph.producers.get(node.inputs[0])
        reshapes = [view for view in (*self.views, node) if view is not None and keeps_matrices(view)]
        return reshapes[0].inputs[0].type.shape[:-2] if reshapes else ()


def unscaled(graph: Graph, value: Value, swapped: bool, dtype: DType, name: str) -> tuple[Operand, float]:
    """Query or key without the constants that it is multiplied by, and the product of these.

    A cast from the attention's `dtype` is taken off too: the attention computes in the wider type by itself.
    """
    factor, views, base = 1.0, list[Node](), value
    found = (Operand(value, (), swapped), 1.0) if value.type.dtype is dtype else None
    while (node := graph.producers.get(base)) is not None:
        scaled = constant_factor(graph, node)
        if node.operator in ("reshape", "transpose"):
            views.append(node)
            base = node.inputs[0]
            continue
        if scaled is not None:
            base, factor = scaled[0], factor * scaled[1]
        elif node.operator == "cast" and base.type.dtype is not dtype and node.inputs[0].type.dtype is dtype:
            base = node.inputs[0]
        else:
            break
        if base.type.dtype is dtype:
            found = Operand(base, tuple(reversed(views)), swapped), factor
    if found is None:
        raise NotFusibleError(f"the {name} is {value}, but the value is {dtype}; give them one type")
    return found


def mask_operand(graph: Graph, mask: Value, dtype: DType) -> Value | np.ndarray:
    """The mask in the attention's type: the value itself, what it was cast from, or a constant that fits exactly."""
    if mask.type.dtype is dtype:
        return mask
    node = graph.producers.get(mask)
    if node is not None and node.operator == "cast" and node.inputs[0].type.dtype is dtype:
        return node.inputs[0]
    array = constant_array(graph, mask)
    if array is not None:
        with np.errstate(over="ignore"):
            converted = array.astype(dtype.numpy)
        if np.array_equal(converted.astype(array.dtype), array):
            return converted
    raise NotFusibleError(f"the mask is {mask}, but the value is {dtype}; give them one type")


def mask_shape(shape: tuple[int, ...], leading: tuple[int, ...], heads: tuple[int, int]) -> tuple[int, ...]:
    """The shape in which a mask of scores (*leading, S, T) broadcasts to (*heads, S, T); `heads` is (batch, heads)."""
    padded = (1,) * (len(leading) + 2 - len(shape)) + shape
    if math.prod(padded[:-2]) == 1:
        return padded[-2:] if len(shape) > 4 else shape
    if leading == heads:
        return shape
    if padded[:-2] == leading:
        return (*heads, *padded[-2:])
    if heads == (math.prod(leading[:-1]), leading[-1]) and math.prod(padded[:-3]) in (1, heads[0]):
        return (math.prod(padded[:-3]), *padded[-3:])
    raise NotFusibleError(f"the mask of shape {list(shape)} repeats for some of {list(leading)}; expand it")


def batch_and_heads(
    graph: Graph, leading: tuple[int, ...], operands: Iterable[Operand], result: Value, mask_leading: tuple[int, ...]
) -> tuple[int, int]:
    """What the extents before the last two of every operand are taken for.

    For a single one, any numbers with that product would do; those that a reshape merged, or splits again, make the
    reshape superfluous.
    """
    splits = [node.output.type.shape[:-2] for node in graph.users.get(result, ()) if keeps_matrices(node)]
    if len(leading) == 1:
        for found in (mask_leading, *(operand.unmerged(graph) for operand in operands), *splits):
            if len(found) > 1 and math.prod(found) == leading[0]:
                leading = found
                break
    return (math.prod(leading[:-1]), leading[-1]) if len(leading) > 1 else (math.prod(leading), 1)
