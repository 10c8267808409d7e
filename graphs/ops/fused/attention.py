"""Attention as one operator: softmax(scale * query key^T + mask) value, head by head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, register
from coopdraw.graphs.types import DType, TensorType

LAYOUTS = ("BSH", "BNSD")
"""BSH: (B, S, heads * D), as linear layers give it. BNSD: (B, heads, S, D)."""

_OPERANDS = ("the query", "the key", "the value")
_SOFTMAX_FLOPS = 5


class AttentionExtents(NamedTuple):
    """query (batch, heads, queries, width), key (..., keys, width), value (..., keys, value_width), in layout BNSD."""

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    value_width: int

    @property
    def scores(self) -> tuple[int, int, int, int]:
        """Shape of query key^T."""
        return self.batch, self.heads, self.queries, self.keys


def attention_extents(inputs: Sequence[TensorType], attributes: Attributes) -> AttentionExtents:
    """The extents of an attention with these operands (query, key, value, perhaps a mask); raises GraphError."""
    heads = checks.positive_integer(attributes, "heads")
    split = checks.choice(attributes, "layout", LAYOUTS) == "BSH"
    query, key, value = (
        _by_heads(type, heads, split, operand) for type, operand in zip(inputs[:3], _OPERANDS, strict=True)
    )
    if not query[:2] == key[:2] == value[:2]:
        raise GraphError(f"query, key and value are {_listed(inputs)}, whose batches differ; make them equal")
    if query[3] != key[3]:
        raise GraphError(f"query and key are {_listed(inputs[:2])}, whose heads differ in width; make them equal")
    if key[2] != value[2]:
        raise GraphError(f"key and value are {_listed(inputs[1:3])}, whose lengths differ; make them equal")
    extents = AttentionExtents(*query[:3], key[2], query[3], value[3])
    for mask in inputs[3:]:
        if checks.broadcast(mask.shape, extents.scores) != extents.scores:
            raise GraphError(f"the mask is {mask}, but must broadcast to {list(extents.scores)}; reshape it")
    return extents


def _by_heads(type: TensorType, heads: int, split: bool, operand: str) -> tuple[int, int, int, int]:
    """The operand's shape in layout BNSD."""
    checks.floating(type)
    checks.rank(type, 3 if split else 4, operand)
    if split:
        batch, length, columns = type.shape
        if columns % heads:
            raise GraphError(f"{operand} is {type}, whose {columns} columns don't divide into {heads} heads; fix heads")
        return batch, heads, length, columns // heads
    batch, own, length, width = type.shape
    if own != heads:
        raise GraphError(f"{operand} is {type}, which has {own} heads, but heads is {heads}; make them equal")
    return batch, own, length, width


def _listed(types: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types[:3]))


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    checks.same_dtype(inputs)
    extents = attention_extents(inputs, attributes)
    scale = attributes["scale"]
    if not isinstance(scale, float) or not math.isfinite(scale):
        raise GraphError(f"scale is {scale}, but must be finite")
    batch, heads, queries, _, _, value_width = extents
    if attributes["layout"] == "BSH":
        return (TensorType(inputs[0].dtype, (batch, queries, heads * value_width)),)
    return (TensorType(inputs[0].dtype, (batch, heads, queries, value_width)),)


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    """The sum of the exponentials divides the result, not the weights, as in fused kernels."""
    heads, scale = attributes["heads"], attributes["scale"]
    assert isinstance(heads, int)
    split = attributes["layout"] == "BSH"
    query, key, value = (
        np.moveaxis(array.reshape(*array.shape[:2], heads, -1), 2, 1) if split else array for array in inputs[:3]
    )
    scores = np.matmul(query, np.swapaxes(key, 2, 3)) * query.dtype.type(scale)
    for mask in inputs[3:]:
        scores += mask
    weights = np.exp(scores - scores.max(axis=3, keepdims=True))
    result = np.matmul(weights, value) / weights.sum(axis=3, keepdims=True)
    return np.moveaxis(result, 1, 2).reshape(*inputs[0].shape[:2], -1) if split else np.asarray(result)


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    extents = attention_extents(inputs, attributes)
    per_score = 2 * (extents.width + extents.value_width) + _SOFTMAX_FLOPS
    per_score += (attributes["scale"] != 1.0) + len(inputs[3:])
    return math.prod(extents.scores) * per_score


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    """In float32 for half precision, as the reference: unscaled scores could exceed float16's range."""
    dtype = values[0].type.dtype
    heads, scale = attributes["heads"], attributes["scale"]
    assert isinstance(heads, int)
    assert isinstance(scale, float)
    half = dtype in (DType.FLOAT16, DType.BFLOAT16)
    wide = [maker.add("cast", value, dtype="float32") if half else value for value in values]
    split = attributes["layout"] == "BSH"
    query, key, value = (_split_heads(maker, operand, heads) if split else operand for operand in wide[:3])
    scores = maker.add("matmul", query, key, transpose_a=False, transpose_b=True)
    if scale != 1.0:
        scores = maker.add("mul", scores, maker.constant(np.asarray(scale, scores.type.dtype.numpy)))
    for mask in wide[3:]:
        scores = maker.add("add", scores, mask)
    result = maker.add("matmul", maker.add("softmax", scores, axis=3), value, transpose_a=False, transpose_b=False)
    if split:
        result = _join_heads(maker, result)
    return (maker.add("cast", result, dtype=dtype.value) if half else result,)


def _split_heads(maker: Maker, x: Value, heads: int) -> Value:
    """(B, S, heads * D) as (B, heads, S, D)."""
    batch, length, columns = x.type.shape
    parts = maker.add("reshape", x, shape=(batch, length, heads, columns // heads))
    return maker.add("transpose", parts, permutation=(0, 2, 1, 3))


def _join_heads(maker: Maker, x: Value) -> Value:
    """(B, heads, S, D) as (B, S, heads * D)."""
    batch, heads, length, width = x.type.shape
    parts = maker.add("transpose", x, permutation=(0, 2, 1, 3))
    return maker.add("reshape", parts, shape=(batch, length, heads * width))


register(
    Operator(
        "attention",
        3,
        4,
        {"heads": (int,), "scale": (float,), "layout": (str,)},
        _infer,
        rounded(_reference),
        _flops,
        _decompose,
    )
)
