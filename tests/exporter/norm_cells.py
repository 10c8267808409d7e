"""Cells with norms, gates and biases as users write them in MindSpore.

MindSpore parses this file's source.
"""

from __future__ import annotations

from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore.common.initializer import initializer

CHANNELS, GROUPS = 8, 4


class WrittenGroupNorm(nn.Cell):
    """As mindone.diffusers:models/layers_compat.py writes it for MindSpore before 2.3; then x * sigmoid(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = Parameter(initializer("ones", (CHANNELS,)), name="weight")
        self.bias = Parameter(initializer("zeros", (CHANNELS,)), name="bias")

    def construct(self, x: Tensor) -> Tensor:
        shape = x.shape
        grouped = x.reshape(shape[0], GROUPS, -1)
        mean = ops.mean(grouped, axis=-1, keep_dims=True)
        variance = ops.mean(ops.square(grouped - mean), axis=-1, keep_dims=True)
        grouped = (grouped - mean) / ops.sqrt(variance + 1e-5)
        x = grouped.reshape(shape)
        x = x * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)
        return x * ops.sigmoid(x)


class ScaleShift(nn.Cell):
    """A residual block whose embedding gives scale and shift: diffusers' time_embedding_norm="scale_shift"."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = mint.nn.GroupNorm(GROUPS, CHANNELS)
        self.conv1 = mint.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.norm2 = mint.nn.GroupNorm(GROUPS, CHANNELS)
        self.conv2 = mint.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def construct(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv1(mint.nn.functional.silu(self.norm1(x)))
        scale, shift = mint.chunk(embedding.unsqueeze(2).unsqueeze(3), 2, dim=1)
        hidden = self.norm2(hidden) * (1 + scale) + shift
        return x + self.conv2(mint.nn.functional.silu(hidden))


class PlainLayers(nn.Cell):
    """What `mindspore.nn` calls by the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(GROUPS, CHANNELS)
        self.silu = nn.SiLU()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.conv_bias = Parameter(initializer("zeros", (CHANNELS,)), name="conv_bias")
        self.layer_norm = nn.LayerNorm((CHANNELS,))
        self.proj = nn.Dense(CHANNELS, 2 * CHANNELS)
        self.gelu = nn.GELU(approximate=False)
        self.gelu_tanh = nn.GELU()

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv(self.silu(self.group_norm(x + x * x))) + self.conv_bias.reshape(1, -1, 1, 1)
        batch, channels, height, width = x.shape
        tokens = ops.transpose(x.reshape(batch, channels, height * width), (0, 2, 1))
        tokens = tokens + ops.tanh(tokens)
        value, gate = ops.split(self.proj(self.layer_norm(tokens)), CHANNELS, axis=-1)
        return tokens + value * self.gelu(gate) + self.gelu_tanh(gate)
