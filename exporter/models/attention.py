"""Transformers inside the UNet, and the attention that they share with the autoencoder.

Parameter names: Stability-AI/generative-models:sgm/modules/attention.py.
"""

from __future__ import annotations

import math

from mindspore import Tensor, nn, ops

from coopdraw.exporter.models.layers import Convolution, Gelu, GroupNorm, LayerNorm, Linear, UnbiasedLinear, cells_at
from coopdraw.exporter.models.primitives import add, matmul, matmul_transposed, mul, reshape, softmax, transpose

NORM_EPSILON = 1e-6
LAYER_NORM_EPSILON = 1e-5


class Attention(nn.Cell):
    """softmax(q k^T / sqrt(D)) v over (B, heads, N, D) queries and (B, heads, L, D) keys and values."""

    def __init__(self, head_channels: int) -> None:
        super().__init__()
        self.scale = 1.0 / math.sqrt(head_channels)

    def construct(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return matmul(softmax(mul(matmul_transposed(query, key), self.scale)), value)


class CrossAttention(nn.Cell):
    """Multi-head attention of (B, N, C) on (B, L, context): (B, N, C)."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = UnbiasedLinear(channels, channels)
        self.to_k = UnbiasedLinear(context_channels, channels)
        self.to_v = UnbiasedLinear(context_channels, channels)
        self.to_out = cells_at({0: Linear(channels, channels)})
        self.attention = Attention(channels // heads)

    def construct(self, hidden: Tensor, context: Tensor) -> Tensor:
        query = self._split_heads(self.to_q(hidden))
        key = self._split_heads(self.to_k(context))
        value = self._split_heads(self.to_v(context))
        mixed = transpose(self.attention(query, key, value), (0, 2, 1, 3))
        return self.to_out[0](reshape(mixed, hidden.shape))

    def _split_heads(self, tokens: Tensor) -> Tensor:
        batch, length, channels = tokens.shape
        return transpose(reshape(tokens, (batch, length, self.heads, channels // self.heads)), (0, 2, 1, 3))


class GatedGelu(nn.Cell):
    """GEGLU: (B, N, C) -> (B, N, out). Parameters: `proj`."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = Linear(channels, out_channels * 2)
        self.halve = ops.Split(axis=-1, output_num=2)
        self.gelu = Gelu()

    def construct(self, hidden: Tensor) -> Tensor:
        value, gate = self.halve(self.proj(hidden))
        return mul(value, self.gelu(gate))


class FeedForward(nn.Cell):
    """(B, N, C) -> (B, N, C) through four times as many channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = cells_at({0: GatedGelu(channels, channels * 4), 2: Linear(channels * 4, channels)})

    def construct(self, hidden: Tensor) -> Tensor:
        return self.net[2](self.net[0](hidden))


class TransformerBlock(nn.Cell):
    """Self-attention, attention on the text, feed-forward, each with its norm and skip: (B, N, C) -> (B, N, C)."""

    def __init__(self, channels: int, context_channels: int, heads: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(channels, channels, heads)
        self.ff = FeedForward(channels)
        self.attn2 = CrossAttention(channels, context_channels, heads)
        self.norm1 = LayerNorm(channels, LAYER_NORM_EPSILON)
        self.norm2 = LayerNorm(channels, LAYER_NORM_EPSILON)
        self.norm3 = LayerNorm(channels, LAYER_NORM_EPSILON)

    def construct(self, hidden: Tensor, context: Tensor) -> Tensor:
        normed = self.norm1(hidden)
        hidden = add(self.attn1(normed, normed), hidden)
        hidden = add(self.attn2(self.norm2(hidden), context), hidden)
        return add(self.ff(self.norm3(hidden)), hidden)


class SpatialTransformer(nn.Cell):
    """Transformer blocks over the pixels of (N, C, H, W), with the text (N, L, context).

    The projections are linear layers over tokens (SD 2.x, SDXL, PanGu-Draw) or 1x1 convolutions (SD 1.x).
    """

    def __init__(
        self, channels: int, context_channels: int, heads: int, depth: int, linear_projection: bool, norm_groups: int
    ) -> None:
        super().__init__()
        self.linear_projection = linear_projection
        self.norm = GroupNorm(norm_groups, channels, NORM_EPSILON)
        self.proj_in = _projection(channels, linear_projection)
        self.transformer_blocks = nn.CellList(
            [TransformerBlock(channels, context_channels, heads) for _ in range(depth)]
        )
        self.proj_out = _projection(channels, linear_projection)

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        batch, channels, height, width = hidden.shape
        tokens = self.norm(hidden)
        if not self.linear_projection:
            tokens = self.proj_in(tokens)
        tokens = transpose(reshape(tokens, (batch, channels, height * width)), (0, 2, 1))
        if self.linear_projection:
            tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        if self.linear_projection:
            tokens = self.proj_out(tokens)
        image = reshape(transpose(tokens, (0, 2, 1)), (batch, channels, height, width))
        if not self.linear_projection:
            image = self.proj_out(image)
        return add(image, hidden)


def _projection(channels: int, linear: bool) -> nn.Cell:
    return Linear(channels, channels) if linear else Convolution(channels, channels, kernel=1)
