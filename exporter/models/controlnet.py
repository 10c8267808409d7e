"""ControlNet: a copy of the UNet's encoder that reads a control image and corrects the UNet.

It is two Cells, because what it makes of the image is the same at every step; together they have the parameters of the
release. Architecture and parameter names: lllyasviel/ControlNet:cldm/cldm.py (norms have `gamma` and `beta`).
"""

from __future__ import annotations

from itertools import pairwise

from mindspore import Tensor, nn

from coopdraw.exporter.models.configuration import ControlNetConfig
from coopdraw.exporter.models.layers import Convolution, cells_at
from coopdraw.exporter.models.primitives import add, silu
from coopdraw.exporter.models.unet_encoder import UNetEncoder


class ControlHint(nn.Cell):
    """Control image (N, conditioning_channels, H, W) in [0, 1] -> hint (N, model_channels, H / d, W / d).

    d is `config.hint_downscale`. Parameters: `input_hint_block.N`, convolutions with SiLUs between.
    """

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__()
        channels = config.hint_channels
        convolutions: list[nn.Cell] = [Convolution(config.conditioning_channels, channels[0])]
        for narrow, wide in pairwise(channels):
            convolutions += [Convolution(narrow, narrow), Convolution(narrow, wide, stride=2)]
        convolutions.append(Convolution(channels[-1], config.model_channels))
        self.input_hint_block = cells_at({2 * index: convolution for index, convolution in enumerate(convolutions)})

    def construct(self, image: Tensor) -> Tensor:
        hidden = self.input_hint_block[0](image)
        for convolution in self.input_hint_block[2::2]:
            hidden = convolution(silu(hidden))
        return hidden


class ControlNet(UNetEncoder):
    """Residuals that steer a UNet.

    latent (N, C, H, W), timestep float32 (1,) or (N,), context (N, L, context_dim), then `conditions`:
    vector (N, vector_dim) for a model with `vector_dim`; the hint (1 or N, model_channels, H, W) -> a residual for each
    of the UNet's skips, in the order the encoder makes them, and last the one for its middle; unscaled, shapes as
    `config.residual_shapes`.
    """

    def __init__(self, config: ControlNetConfig) -> None:
        super().__init__(config)
        self.zero_convs = nn.CellList([_zero_convolution(channels) for channels, _ in config.skips])
        self.middle_block_out = _zero_convolution(config.channels[-1])

    def construct(self, latent: Tensor, timestep: Tensor, context: Tensor, *conditions: Tensor) -> tuple[Tensor, ...]:
        embedding = self.embed(timestep, conditions)
        skips = self.encode(add(self.input_blocks[0][0](latent), conditions[-1]), embedding, context, ())
        residuals: tuple[Tensor, ...] = ()
        for index in range(len(self.zero_convs)):
            residuals = (*residuals, self.zero_convs[index][0](skips[index]))
        return (*residuals, self.middle_block_out[0](self.middle_block(skips[-1], embedding, context)))


def _zero_convolution(channels: int) -> nn.Cell:
    """A 1x1 convolution, called so because training starts it at zero."""
    return cells_at({0: Convolution(channels, channels, kernel=1)})
