"""T2I-Adapter: a small network that makes features of a control image once, which the UNet adds at every step.

Architecture: diffusers:models/adapter.py, `FullAdapter` and `FullAdapterXL`. Parameter names:
TencentARC/T2I-Adapter:Adapter/models/adapters.py.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from coopdraw.exporter.models.configuration import T2IAdapterConfig
from coopdraw.exporter.models.layers import Convolution
from coopdraw.exporter.models.primitives import add, halve, relu, reshape, transpose


class AdapterBlock(nn.Cell):
    """(N, in, H, W) -> (N, out, H, W), or half the extents if it `halves` them first."""

    def __init__(self, in_channels: int, out_channels: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.in_conv = (
            nn.Identity() if in_channels == out_channels else Convolution(in_channels, out_channels, kernel=1)
        )
        self.block1 = Convolution(out_channels, out_channels)
        self.block2 = Convolution(out_channels, out_channels, kernel=1)

    def construct(self, hidden: Tensor) -> Tensor:
        if self.halves:
            hidden = halve(hidden)
        hidden = self.in_conv(hidden)
        return add(self.block2(relu(self.block1(hidden))), hidden)


class T2IAdapter(nn.Cell):
    """Control image (N, in_channels, H, W) in [0, 1] -> a feature per level, shapes as `config.feature_shapes`.

    H and W are multiples of `config.downscale`.
    """

    def __init__(self, config: T2IAdapterConfig) -> None:
        super().__init__()
        self.downscale_factor = config.downscale_factor
        self.num_res_blocks = config.num_res_blocks
        self.conv_in = Convolution(config.in_channels * config.downscale_factor**2, config.channels[0])
        blocks: list[nn.Cell] = []
        channels = config.channels[0]
        for level_channels, halves in zip(config.channels, config.halvings, strict=True):
            blocks.append(AdapterBlock(channels, level_channels, halves))
            blocks += [AdapterBlock(level_channels, level_channels, False) for _ in range(config.num_res_blocks - 1)]
            channels = level_channels
        self.body = nn.CellList(blocks)

    def construct(self, image: Tensor) -> tuple[Tensor, ...]:
        hidden = self.conv_in(self._unshuffle(image))
        features: tuple[Tensor, ...] = ()
        for index in range(len(self.body)):
            hidden = self.body[index](hidden)
            if (index + 1) % self.num_res_blocks == 0:
                features = (*features, hidden)
        return features

    def _unshuffle(self, image: Tensor) -> Tensor:
        """The pixels of each square as channels: (N, C, H, W) -> (N, C * d * d, H / d, W / d)."""
        batch, channels, height, width = image.shape
        factor = self.downscale_factor
        rows, columns = height // factor, width // factor
        squares = transpose(reshape(image, (batch, channels, rows, factor, columns, factor)), (0, 1, 3, 5, 2, 4))
        return reshape(squares, (batch, channels * factor * factor, rows, columns))
