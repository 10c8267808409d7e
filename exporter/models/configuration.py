"""What the built-in models are: one frozen configuration per kind."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from coopdraw.exporter.models.errors import ConfigurationError

ADAPTER_TYPES = ("full_adapter", "full_adapter_xl")


@dataclass(frozen=True)
class UNetConfig:
    """A denoising UNet in the layout of Stability's generative models (SGM): SD 1.x, SD 2.x, SDXL and PanGu-Draw.

    One entry per level (resolution) in `channel_mult`, `transformer_depth` and `num_heads`. A depth of 0 means that the
    level has no attention; then its number of heads is not used. The middle block has the heads of the last level.
    `vector_dim` is the width of the pooled condition (`label_emb`), None for a model without one.
    `addition_time_embed_dim` is how wide each number of `vector`'s size condition is embedded, None if not known.
    """

    in_channels: int
    out_channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    transformer_depth: tuple[int, ...]
    middle_transformer_depth: int
    num_heads: tuple[int, ...]
    context_dim: int
    vector_dim: int | None = None
    use_linear_projection: bool = False
    norm_groups: int = 32
    addition_time_embed_dim: int | None = None

    def __post_init__(self) -> None:
        _check_positive(
            self, "in_channels", "out_channels", "model_channels", "num_res_blocks", "middle_transformer_depth"
        )
        _check_positive(self, "context_dim", "norm_groups")
        _check_optional(self, "vector_dim", "addition_time_embed_dim")
        _check_integers(self, "channel_mult", least=1)
        _check_integers(self, "transformer_depth", least=0)
        _check_integers(self, "num_heads", least=1)
        _check_switches(self, "use_linear_projection")
        if not len(self.channel_mult) == len(self.transformer_depth) == len(self.num_heads):
            raise ConfigurationError(
                f"channel_mult, transformer_depth and num_heads have {len(self.channel_mult)}, "
                f"{len(self.transformer_depth)} and {len(self.num_heads)} entries; give each one entry per level"
            )
        attentive = [*self.transformer_depth[:-1], self.middle_transformer_depth]
        for channels, depth, heads in zip(self.channels, attentive, self.num_heads, strict=True):
            _check_divides("norm_groups", self.norm_groups, channels)
            if depth:
                _check_divides("num_heads", heads, channels)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * mult for mult in self.channel_mult)

    @property
    def downscale(self) -> int:
        """How many times the lowest level is smaller than the latent: both extents must be multiples of it."""
        return int(2 ** (len(self.channel_mult) - 1))

    @property
    def skips(self) -> tuple[tuple[int, int], ...]:
        """(channels, downscale of the latent) of what each stage of the encoder keeps for the way up, in order."""
        skips = [(self.model_channels, 1)]
        for level, channels in enumerate(self.channels):
            skips += [(channels, 2**level)] * self.num_res_blocks
            if level < len(self.channels) - 1:
                skips.append((channels, 2 ** (level + 1)))
        return tuple(skips)

    def residual_shapes(self, batch: int, height: int, width: int) -> tuple[tuple[int, int, int, int], ...]:
        """(N, C, h, w) of the residuals that a ControlNet gives for a latent: one per skip, then the middle's."""
        places = (*self.skips, (self.channels[-1], self.downscale))
        return tuple((batch, channels, height // factor, width // factor) for channels, factor in places)

    def feature_shapes(self, batch: int, height: int, width: int) -> tuple[tuple[int, int, int, int], ...]:
        """(N, C, h, w) of the features of a T2I-Adapter for a latent: one per level, then the middle's.

        An adapter has all of them, or all but the middle's. A level without attention takes its feature below its
        downsampling. Source: diffusers:models/unets/unet_2d_condition.py, `down_intrablock_additional_residuals`.
        """
        places = [
            (channels, min(self.downscale, 2**level if depth else 2 ** (level + 1)))
            for level, (channels, depth) in enumerate(zip(self.channels, self.transformer_depth, strict=True))
        ]
        places.append((self.channels[-1], self.downscale))
        return tuple((batch, channels, height // factor, width // factor) for channels, factor in places)


@dataclass(frozen=True)
class ControlNetConfig(UNetConfig):
    """A ControlNet: the configuration of the UNet it steers, and how it reads the control image.

    `hint_channels` are the channels of the convolutions that read the image, which halve its extents from each entry to
    the next. `out_channels` is the UNet's; the ControlNet doesn't use it.
    """

    hint_channels: tuple[int, ...] = (16, 32, 96, 256)
    conditioning_channels: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "conditioning_channels")
        _check_integers(self, "hint_channels", least=1)

    @property
    def hint_downscale(self) -> int:
        """Extent of the control image over extent of the latent."""
        return int(2 ** (len(self.hint_channels) - 1))


@dataclass(frozen=True)
class T2IAdapterConfig:
    """A T2I-Adapter: what reads a control image of `in_channels` for one feature per entry of `channels`.

    It takes squares of `downscale_factor` pixels at once. The extents halve from each feature to the next in a
    `full_adapter` (SD 1.x), and only from the second to the third in a `full_adapter_xl` (SDXL).
    """

    in_channels: int
    channels: tuple[int, ...]
    num_res_blocks: int
    downscale_factor: int
    adapter_type: str = "full_adapter"

    def __post_init__(self) -> None:
        _check_positive(self, "in_channels", "num_res_blocks", "downscale_factor")
        _check_integers(self, "channels", least=1)
        if self.adapter_type not in ADAPTER_TYPES:
            raise ConfigurationError(f"adapter_type is {self.adapter_type!r}; give {' or '.join(ADAPTER_TYPES)}")

    @property
    def halvings(self) -> tuple[bool, ...]:
        """Whether each level begins with half the extents of the one before."""
        if self.adapter_type == "full_adapter_xl":
            return tuple(level == 2 for level in range(len(self.channels)))
        return tuple(level > 0 for level in range(len(self.channels)))

    @property
    def downscale(self) -> int:
        """Extent of the image over extent of the last feature: both extents of the image must be multiples of it."""
        return int(self.downscale_factor * 2 ** sum(self.halvings))

    def feature_shapes(self, batch: int, height: int, width: int) -> tuple[tuple[int, int, int, int], ...]:
        """(N, C, h, w) of the features that the adapter makes of an image."""
        factors = [self.downscale_factor * 2**halved for halved in accumulate(self.halvings)]
        return tuple(
            (batch, channels, height // factor, width // factor)
            for channels, factor in zip(self.channels, factors, strict=True)
        )


@dataclass(frozen=True)
class AutoencoderConfig:
    """A KL autoencoder (VAE) in the SGM layout. The latent is the posterior's mean times `scaling_factor`."""

    in_channels: int
    out_channels: int
    latent_channels: int
    channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    scaling_factor: float
    norm_groups: int = 32
    mid_attention: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True

    def __post_init__(self) -> None:
        _check_positive(self, "in_channels", "out_channels", "latent_channels", "channels", "num_res_blocks")
        _check_positive(self, "norm_groups")
        _check_integers(self, "channel_mult", least=1)
        _check_switches(self, "mid_attention", "use_quant_conv", "use_post_quant_conv")
        factor = self.scaling_factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor > 0:
            raise ConfigurationError(f"scaling_factor is {factor!r}; give a positive number such as 0.13025")
        for channels in self.level_channels:
            _check_divides("norm_groups", self.norm_groups, channels)

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of each level, the image's first."""
        return tuple(self.channels * mult for mult in self.channel_mult)

    @property
    def downscale(self) -> int:
        """Extent of the image over extent of the latent."""
        return int(2 ** (len(self.channel_mult) - 1))


@dataclass(frozen=True)
class WordsConfig:
    """A text encoder that looks words up: `context` is token + position embedding, the pooled text is a mean.

    `words` is the vocabulary; its first entry is the pad. `time_ids` are numbers such as (height, width, 0, 0, height,
    width), embedded like timesteps with `time_embed_dim` channels each and appended to the pooled text: `vector`.
    """

    words: tuple[str, ...]
    context_length: int
    width: int
    time_ids: tuple[int, ...] = ()
    time_embed_dim: int = 0

    def __post_init__(self) -> None:
        _check_positive(self, "context_length", "width")
        if not self.words or not all(isinstance(word, str) for word in self.words):
            raise ConfigurationError("words must be a list of strings, the pad first")
        if self.time_ids:
            _check_integers(self, "time_ids", least=0)
        if self.time_ids and (self.time_embed_dim < 2 or self.time_embed_dim % 2):
            raise ConfigurationError(f"time_embed_dim is {self.time_embed_dim}; give an even number of channels")

    @property
    def vector_dim(self) -> int:
        """Width of `vector`."""
        return self.width + len(self.time_ids) * self.time_embed_dim


ModelConfig = UNetConfig | ControlNetConfig | T2IAdapterConfig | AutoencoderConfig | WordsConfig


def _is_integer(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_positive(config: object, *fields: str) -> None:
    for field in fields:
        value = getattr(config, field)
        if not _is_integer(value, 1):
            raise ConfigurationError(f"{field} is {value!r}; give a positive integer")


def _check_optional(config: object, *fields: str) -> None:
    for field in fields:
        value = getattr(config, field)
        if value is not None and not _is_integer(value, 1):
            raise ConfigurationError(f"{field} is {value!r}; give a positive integer or leave it out")


def _check_integers(config: object, field: str, least: int) -> None:
    values = getattr(config, field)
    if not isinstance(values, tuple) or not values or not all(_is_integer(value, least) for value in values):
        raise ConfigurationError(f"{field} is {values!r}; give a list of integers, {least} or more each")


def _check_switches(config: object, *fields: str) -> None:
    for field in fields:
        value = getattr(config, field)
        if not isinstance(value, bool):
            raise ConfigurationError(f"{field} is {value!r}; give true or false")


def _check_divides(field: str, divisor: int, channels: int) -> None:
    if channels % divisor:
        raise ConfigurationError(f"{field} is {divisor}, which does not divide {channels} channels; give a divisor")
