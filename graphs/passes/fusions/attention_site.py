"""Finds the parts of an attention around a softmax: two products, and the scale, mask and casts between them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.fusions.attention_operands import (
    NotFusibleError,
    Operand,
    batch_and_heads,
    mask_operand,
    mask_shape,
    unscaled,
)
from coopdraw.graphs.passes.fusions.chains import (
    another_use,
    constant_factor,
    derives_from,
    feeds,
    keeps_matrices,
    swaps_matrices,
)
from coopdraw.graphs.types import DType

_SUMS = ("add", "sub", "linear_combination")
_ELEMENTWISE = ("mul", "div", "neg", "pow", "exp", "tanh", "maximum", "minimum", "clamp", "select", "cast")
_MOVES = ("identity", "reshape", "transpose", "broadcast_to", "tile", "pad", "concat", "split", "slice")
_BETWEEN = frozenset((*_SUMS, *_ELEMENTWISE, *_MOVES))
"""What may stand between the softmax and a product of an anchor; only some of it makes an attention."""


@dataclass(frozen=True)
class Site:
    """softmax(scale * query key^T + mask) value, which `product` gives (`swapped`: with its last two axes exchanged).

    The operands are taken as (batch, heads, length, width). `mask` is a value or, where its type changes, an array; it
    is reshaped to `mask_shape`.
    """

    query: Operand
    key: Operand
    value: Operand
    scale: float
    mask: Value | np.ndarray | None
    mask_shape: tuple[int, ...]
    batch: int
    heads: int
    product: Node
    swapped: bool


@dataclass(frozen=True)
class _Scores:
    """The way from the product of query and key to the softmax; `types` are the element types on it."""

    product: Node
    scale: float
    mask: Value | None
    mask_leading: tuple[int, ...]
    types: tuple[DType, ...]


def is_anchor(graph: Graph, softmax: Node) -> bool:
    """Whether the softmax's input derives from a matmul and its output feeds one."""
    return _from_product(graph, softmax.inputs[0]) and _to_product(graph, softmax)


def find_site(graph: Graph, softmax: Node) -> Site:
    """The attention around an anchor; raises NotFusibleError."""
    axis, type = softmax.attributes["axis"], softmax.output.type
    if axis != len(type.shape) - 1:
        raise NotFusibleError(f"the softmax is along axis {axis} of {type}, not along the last one")
    scores = _scores(graph, softmax)
    product, probabilities, transposed, types = _result(graph, softmax)
    value, swapped = _value(product, probabilities, transposed)
    dtype = value.base.type.dtype
    _check_types(dtype, (*scores.types, *types))
    _check_leading(scores.product)
    _check_leading(product)
    (query, key), scale = _query_and_key(graph, scores, dtype)
    heads = batch_and_heads(graph, value.base.type.shape[:-2], (query, key, value), product.output, scores.mask_leading)
    mask, shape = None, tuple[int, ...]()
    if scores.mask is not None:
        mask = mask_operand(graph, scores.mask, dtype)
        shape = mask_shape(scores.mask.type.shape, scores.mask_leading, heads)
    return Site(query, key, value, scale, mask, shape, *heads, product, swapped)


def _from_product(graph: Graph, value: Value) -> bool:
    return derives_from(graph, value, "matmul", _BETWEEN)


def _to_product(graph: Graph, node: Node) -> bool:
    return any(feeds(graph, value, "matmul", _BETWEEN) for value in node.outputs)


def _scores(graph: Graph, softmax: Node) -> _Scores:
    """Walks up from the softmax to the product of query and key."""
    scale, scaling, mask, mask_leading = 1.0, None, None, tuple[int, ...]()
    user, value, types = softmax, softmax.inputs[0], list[DType]()
    while True:
        node = _only_producer(graph, value, user)
        types.append(value.type.dtype)
        scaled = constant_factor(graph, node)
        if node.operator == "matmul":
            return _Scores(node, scale, mask, mask_leading, tuple(types))
        if scaled is not None:
            scaling, value, scale = node, scaled[0], scale * scaled[1]
        elif node.operator == "cast" or keeps_matrices(node):
            value = node.inputs[0]
        elif node.operator != "add":
            raise NotFusibleError(_strange_scores(node))
        elif mask is not None:
            raise NotFusibleError(f"a second mask is added in {node.where()}; add the masks to each other first")
        elif scaling is not None:
            raise NotFusibleError(f"the mask is scaled, too, in {scaling.where()}; scale the scores before it is added")
        else:
            value, mask = _scores_and_mask(graph, node)
            mask_leading = value.type.shape[:-2]
        user = node


def _only_producer(graph: Graph, value: Value, user: Node) -> Node:
    other = another_use(graph, value, user)
    if other is not None:
        raise NotFusibleError(f"the scores are needed by {other}, too")
    if value not in graph.producers:
        raise NotFusibleError(f"the scores are the input {value}, not a product")
    return graph.producers[value]


def _strange_scores(node: Node) -> str:
    if node.operator in ("mul", "div"):
        return f"the scores are scaled in {node.where()}, but not by one constant number"
    return f"the scores go through {node.where()}, which is neither a scale nor an added mask"


def _scores_and_mask(graph: Graph, node: Node) -> tuple[Value, Value]:
    """The operands of an addition, that which is a product first; a mask may come from a product as well."""
    first, second = node.inputs
    orders = [order for order in ((first, second), (second, first)) if order[0].type == node.output.type]
    for rule in (_is_even_product, _from_product):
        for scores, mask in orders:
            if rule(graph, scores):
                return scores, mask
    raise NotFusibleError(f"the mask that is added in {node.where()} has larger extents than the scores; reduce it")


def _is_even_product(graph: Graph, value: Value) -> bool:
    """Whether a value is a product, scaled or not, whose operands have the same leading axes."""
    node = graph.producers.get(value)
    while node is not None and node.operator != "matmul":
        scaled = constant_factor(graph, node)
        if scaled is None and node.operator != "cast" and not keeps_matrices(node):
            return False
        node = graph.producers.get(node.inputs[0] if scaled is None else scaled[0])
    return node is not None and _is_even(node)


def _result(graph: Graph, softmax: Node) -> tuple[Node, Value, bool, tuple[DType, ...]]:
    """Walks down to the second product: it, which operand the probabilities are, whether transposed, types passed."""
    value, transposed, types = softmax.output, False, list[DType]()
    while True:
        node = next(user for user in graph.users[value] if user.operator == "matmul" or _to_product(graph, user))
        other = another_use(graph, value, node)
        if other is not None:
            raise NotFusibleError(f"the probabilities are needed by {other}, too")
        types.append(value.type.dtype)
        if node.operator == "matmul":
            return node, value, transposed, tuple(types)
        if swaps_matrices(node):
            transposed = not transposed
        elif node.operator != "cast" and not keeps_matrices(node):
            raise NotFusibleError(f"the probabilities go through {node.where()} on the way to the value, as in dropout")
        value = node.output


def _value(product: Node, probabilities: Value, transposed: bool) -> tuple[Operand, bool]:
    """The value, and whether the product's last two axes are exchanged: value^T probabilities^T is such a form."""
    first, second = product.inputs
    transposed_first, transposed_second = (bool(product.attributes[key]) for key in ("transpose_a", "transpose_b"))
    if first is probabilities and transposed_first == transposed:
        return Operand(second, (), transposed_second), False
    if second is probabilities and transposed_second != transposed:
        return Operand(first, (), not transposed_first), True
    raise NotFusibleError(f"{product.where()} takes the probabilities transposed: it sums over queries, not over keys")


def _query_and_key(graph: Graph, scores: _Scores, dtype: DType) -> tuple[tuple[Operand, Operand], float]:
    first, second = scores.product.inputs
    attributes = scores.product.attributes
    query, query_factor = unscaled(graph, first, bool(attributes["transpose_a"]), dtype, "query")
    key, key_factor = unscaled(graph, second, not attributes["transpose_b"], dtype, "key")
    scale = scores.scale * query_factor * key_factor
    if not math.isfinite(scale):
        raise NotFusibleError(f"the scale is {scale}, but must be finite")
    return (query, key), scale


def _check_types(dtype: DType, types: Iterable[DType]) -> None:
    """Casts may only lead to the type that attention computes in, so that it is as precise as what it replaces."""
    wide = DType.FLOAT32 if dtype in (DType.FLOAT16, DType.BFLOAT16) else dtype
    for other in types:
        if other not in (dtype, wide):
            raise NotFusibleError(
                f"between the products there is {other}, but the value is {dtype}, which attention computes in {wide}"
            )


def _is_even(product: Node) -> bool:
    first, second = product.inputs
    return first.type.shape[:-2] == second.type.shape[:-2]


def _check_leading(product: Node) -> None:
    if not _is_even(product):
        first, second = product.inputs
        raise NotFusibleError(
            f"{product.where()} multiplies {first} and {second}, one of which repeats for several heads or batches; "
            "expand it"
        )
