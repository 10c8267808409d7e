"""Residual blocks of the UNet.

Every block of the UNet takes (hidden, embedding, context) and reads what it needs, so that a stage is a plain chain.
Parameter names: Stability-AI/generative-models:sgm/modules/diffusionmodules/openaimodel.py.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from coopdraw.exporter.models.layers import Convolution, GroupNorm, Linear, NearestUpsample, cells_at
from coopdraw.exporter.models.primitives import add, reshape, silu

NORM_EPSILON = 1e-5


class ResBlock(nn.Cell):
    """(N, in, H, W) and the embedding (1 or N, E) -> (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, embedding_channels: int, norm_groups: int) -> None:
        super().__init__()
        self.in_layers = cells_at(
            {0: GroupNorm(norm_groups, in_channels, NORM_EPSILON), 2: Convolution(in_channels, out_channels)}
        )
        self.emb_layers = cells_at({1: Linear(embedding_channels, out_channels)})
        self.out_layers = cells_at(
            {0: GroupNorm(norm_groups, out_channels, NORM_EPSILON), 3: Convolution(out_channels, out_channels)}
        )
        self.skip_connection = (
            nn.Identity() if in_channels == out_channels else Convolution(in_channels, out_channels, kernel=1)
        )

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        change = self.in_layers[2](silu(self.in_layers[0](hidden)))
        shift = self.emb_layers[1](silu(embedding))
        change = add(change, reshape(shift, (shift.shape[0], shift.shape[1], 1, 1)))
        change = self.out_layers[3](silu(self.out_layers[0](change)))
        return add(self.skip_connection(hidden), change)


class Downsample(nn.Cell):
    """Halves both extents with a strided convolution: (N, C, H, W) -> (N, C, H/2, W/2). Parameters: `op`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = Convolution(channels, channels, stride=2)

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        return self.op(hidden)


class Upsample(NearestUpsample):
    """Doubles both extents: (N, C, H, W) -> (N, C, 2H, 2W). Parameters: `conv`."""

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        return self.upsample(hidden)
