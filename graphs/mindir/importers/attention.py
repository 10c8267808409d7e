"""Fused attention, taken apart into products and a softmax."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.importers.linear import scaled
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_LAYOUTS = {0: "BSH", 1: "BNSD"}
_MASK, _HEADS, _KEEP, _SCALE, _LAYOUT, _SPARSE = 6, 10, 11, 12, 16, 17
_LEFT_OUT = (3, 4, 5, 7, 8, 9)
_WINDOW = (13, 14)
_NO_WINDOW = 2147483647


@primitive("FlashAttentionScore")
def flash_attention(call: PrimitiveCall) -> Imported:
    """softmax(q k^T * scale) v, where a true mask takes a key away.

    ops.flash_attention_score: q, k, v, real_shift, drop_mask, padding_mask, attn_mask, prefix, two sequence lengths,
    head_num, keep_prob, scale, two token limits, inner_precise, input_layout, sparse_mode. The fourth output is the
    attention, the others serve the gradient.
    """
    if any(call.argument(index) is not None for index in _LEFT_OUT) or call.number(_KEEP) != 1.0:
        raise call.error("has a shift, dropout, padding mask, prefix or sequence lengths; use attn_mask only")
    windowed = any(call.integer(index) < _NO_WINDOW for index in _WINDOW)
    if windowed or call.integer(_SPARSE) != 0 or call.integer(_LAYOUT) not in _LAYOUTS:
        raise call.error("is sparse, has a window or another layout; use attn_mask and input_layout BSH or BNSD")
    heads = call.integer(_HEADS)
    split = _LAYOUTS[call.integer(_LAYOUT)] == "BSH"
    query, key, value = (_heads(call, call.tensor(index), heads) if split else call.tensor(index) for index in range(3))
    scores = scaled(call, call.add("matmul", query, key, transpose_a=False, transpose_b=True), call.number(_SCALE))
    if call.argument(_MASK) is not None:
        scores = _masked(call, scores, call.tensor(_MASK))
    weights = call.add("softmax", scores, axis=3)
    result = call.add("matmul", weights, value, transpose_a=False, transpose_b=False)
    return (None, None, None, _joined(call, result) if split else result)


def _heads(call: PrimitiveCall, x: Value, heads: int) -> Value:
    """(B, S, N * D) as (B, N, S, D)."""
    batch, length, width = x.type.shape
    parts = call.add("reshape", x, shape=(batch, length, heads, width // heads))
    return call.add("transpose", parts, permutation=(0, 2, 1, 3))


def _joined(call: PrimitiveCall, x: Value) -> Value:
    """(B, N, S, D) as (B, S, N * D)."""
    batch, heads, length, width = x.type.shape
    return call.add("reshape", call.add("transpose", x, permutation=(0, 2, 1, 3)), shape=(batch, length, heads * width))


def _masked(call: PrimitiveCall, scores: Value, mask: Value) -> Value:
    """Scores where the mask is false, a number that softmax turns into zero elsewhere."""
    lowest = call.tensor_of(-1e4, scores.type.dtype)
    return call.add("select", call.add("cast", mask, dtype="bool"), lowest, scores)
