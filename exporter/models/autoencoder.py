"""The two halves of the KL autoencoder (VAE).

Architecture and parameter names: Stability-AI/generative-models:sgm/modules/diffusionmodules/model.py, relative to
`first_stage_model`.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from coopdraw.exporter.models.attention import Attention
from coopdraw.exporter.models.configuration import AutoencoderConfig
from coopdraw.exporter.models.layers import Convolution, GroupNorm, NearestUpsample
from coopdraw.exporter.models.primitives import add, div, mul, reshape, silu, transpose

NORM_EPSILON = 1e-6


class AutoencoderEncoder(nn.Cell):
    """Image (N, 3, H, W) in [-1, 1] -> latent (N, latent_channels, H/f, W/f): the posterior's mean times the scale."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.scaling_factor = config.scaling_factor
        self.use_quant_conv = config.use_quant_conv
        self.encoder = _Encoder(config)
        self.halve = ops.Split(axis=1, output_num=2)
        if config.use_quant_conv:
            self.quant_conv = Convolution(config.latent_channels * 2, config.latent_channels * 2, kernel=1)

    def construct(self, image: Tensor) -> Tensor:
        moments = self.encoder(image)
        if self.use_quant_conv:
            moments = self.quant_conv(moments)
        mean, _ = self.halve(moments)
        return mul(mean, self.scaling_factor)


class AutoencoderDecoder(nn.Cell):
    """Latent (N, latent_channels, h, w) -> image (N, 3, h*f, w*f), about [-1, 1]; divides by the scale first."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.scaling_factor = config.scaling_factor
        self.use_post_quant_conv = config.use_post_quant_conv
        if config.use_post_quant_conv:
            self.post_quant_conv = Convolution(config.latent_channels, config.latent_channels, kernel=1)
        self.decoder = _Decoder(config)

    def construct(self, latent: Tensor) -> Tensor:
        hidden = div(latent, self.scaling_factor)
        if self.use_post_quant_conv:
            hidden = self.post_quant_conv(hidden)
        return self.decoder(hidden)


class _Encoder(nn.Cell):
    """Image -> mean and log variance (N, 2 * latent_channels, H/f, W/f)."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        levels = config.level_channels
        self.conv_in = Convolution(config.in_channels, config.channels)
        self.down = nn.CellList(
            [
                _DownLevel(before, channels, config, downsample=level < len(levels) - 1)
                for level, (before, channels) in enumerate(zip((config.channels, *levels), levels, strict=False))
            ]
        )
        self.mid = _Middle(levels[-1], config)
        self.norm_out = GroupNorm(config.norm_groups, levels[-1], NORM_EPSILON)
        self.conv_out = Convolution(levels[-1], config.latent_channels * 2)

    def construct(self, image: Tensor) -> Tensor:
        hidden = self.conv_in(image)
        for level in self.down:
            hidden = level(hidden)
        return self.conv_out(silu(self.norm_out(self.mid(hidden))))


class _Decoder(nn.Cell):
    """Latent -> image. `up` counts from the image's level, so it is run backwards."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        levels = config.level_channels
        self.conv_in = Convolution(config.latent_channels, levels[-1])
        self.mid = _Middle(levels[-1], config)
        self.up = nn.CellList(
            [
                _UpLevel(before, channels, config, upsample=level > 0)
                for level, (before, channels) in enumerate(zip((*levels[1:], levels[-1]), levels, strict=True))
            ]
        )
        self.norm_out = GroupNorm(config.norm_groups, levels[0], NORM_EPSILON)
        self.conv_out = Convolution(levels[0], config.out_channels)

    def construct(self, latent: Tensor) -> Tensor:
        hidden = self.mid(self.conv_in(latent))
        for level in self.up[::-1]:
            hidden = level(hidden)
        return self.conv_out(silu(self.norm_out(hidden)))


class _DownLevel(nn.Cell):
    def __init__(self, in_channels: int, out_channels: int, config: AutoencoderConfig, downsample: bool) -> None:
        super().__init__()
        self.block = _residual_chain(in_channels, out_channels, config.num_res_blocks, config.norm_groups)
        self.downsample = _Downsample(out_channels) if downsample else nn.Identity()

    def construct(self, hidden: Tensor) -> Tensor:
        for block in self.block:
            hidden = block(hidden)
        return self.downsample(hidden)


class _UpLevel(nn.Cell):
    def __init__(self, in_channels: int, out_channels: int, config: AutoencoderConfig, upsample: bool) -> None:
        super().__init__()
        self.block = _residual_chain(in_channels, out_channels, config.num_res_blocks + 1, config.norm_groups)
        self.upsample = _Upsample(out_channels) if upsample else nn.Identity()

    def construct(self, hidden: Tensor) -> Tensor:
        for block in self.block:
            hidden = block(hidden)
        return self.upsample(hidden)


class _Middle(nn.Cell):
    def __init__(self, channels: int, config: AutoencoderConfig) -> None:
        super().__init__()
        self.block_1 = _ResnetBlock(channels, channels, config.norm_groups)
        self.attn_1 = _SpatialAttention(channels, config.norm_groups) if config.mid_attention else nn.Identity()
        self.block_2 = _ResnetBlock(channels, channels, config.norm_groups)

    def construct(self, hidden: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(hidden)))


class _ResnetBlock(nn.Cell):
    """(N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm1 = GroupNorm(norm_groups, in_channels, NORM_EPSILON)
        self.conv1 = Convolution(in_channels, out_channels)
        self.norm2 = GroupNorm(norm_groups, out_channels, NORM_EPSILON)
        self.conv2 = Convolution(out_channels, out_channels)
        self.nin_shortcut = (
            nn.Identity() if in_channels == out_channels else Convolution(in_channels, out_channels, kernel=1)
        )

    def construct(self, hidden: Tensor) -> Tensor:
        change = self.conv1(silu(self.norm1(hidden)))
        change = self.conv2(silu(self.norm2(change)))
        return add(self.nin_shortcut(hidden), change)


class _SpatialAttention(nn.Cell):
    """Self-attention with one head over the pixels of (N, C, H, W)."""

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(norm_groups, channels, NORM_EPSILON)
        self.q = Convolution(channels, channels, kernel=1)
        self.k = Convolution(channels, channels, kernel=1)
        self.v = Convolution(channels, channels, kernel=1)
        self.proj_out = Convolution(channels, channels, kernel=1)
        self.attention = Attention(channels)

    def construct(self, hidden: Tensor) -> Tensor:
        normed = self.norm(hidden)
        query, key, value = self._tokens(self.q(normed)), self._tokens(self.k(normed)), self._tokens(self.v(normed))
        mixed = transpose(self.attention(query, key, value), (0, 1, 3, 2))
        return add(hidden, self.proj_out(reshape(mixed, hidden.shape)))

    def _tokens(self, image: Tensor) -> Tensor:
        batch, channels, height, width = image.shape
        return transpose(reshape(image, (batch, 1, channels, height * width)), (0, 1, 3, 2))


class _Downsample(nn.Cell):
    """Halves both extents with a strided convolution that pads only below and on the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels, stride=2, padding=(0, 1, 0, 1))

    def construct(self, hidden: Tensor) -> Tensor:
        return self.conv(hidden)


class _Upsample(NearestUpsample):
    """Doubles both extents."""

    def construct(self, hidden: Tensor) -> Tensor:
        return self.upsample(hidden)


def _residual_chain(in_channels: int, out_channels: int, count: int, norm_groups: int) -> nn.Cell:
    return nn.CellList(
        [_ResnetBlock(in_channels if index == 0 else out_channels, out_channels, norm_groups) for index in range(count)]
    )
