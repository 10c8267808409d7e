"""The UNet that predicts noise.

Architecture and parameter names: Stability-AI/generative-models:sgm/modules/diffusionmodules/openaimodel.py and the
checkpoints of mindspore-lab/mindone:examples/pangu_draw_v3 (norms have `gamma` and `beta`).
"""

from __future__ import annotations

from mindspore import Tensor, nn

from coopdraw.exporter.models.attention import SpatialTransformer
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.exporter.models.embedding import TimestepEmbedding
from coopdraw.exporter.models.layers import Convolution, GroupNorm, Linear, cells_at
from coopdraw.exporter.models.primitives import add, concat, silu
from coopdraw.exporter.models.residual import NORM_EPSILON, Downsample, ResBlock, Upsample


class Stage(nn.SequentialCell):
    """A chain of UNet blocks: (hidden, embedding, context) -> hidden. Parameters: `0`, `1`, ..."""

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        for block in self.cell_list:
            hidden = block(hidden, embedding, context)
        return hidden


class ConditionEmbedding(nn.Cell):
    """Timestep (1 or N,) and `vector` (N, V) to the embedding that the residual blocks read: (1 or N, 4 * channels).

    A part of the UNet that has no name of its own in the layout, hence a base class.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.model_channels
        self.timestep_embedding = TimestepEmbedding(channels)
        self.time_embed = _embedding_layers(channels, channels * 4)
        self.has_vector = config.vector_dim is not None
        if config.vector_dim is not None:
            self.label_emb = cells_at({0: _embedding_layers(config.vector_dim, channels * 4)})

    def embed(self, timestep: Tensor, vector: Tensor | None) -> Tensor:
        embedding = self.time_embed[2](silu(self.time_embed[0](self.timestep_embedding(timestep))))
        if self.has_vector:
            embedding = add(embedding, self.label_emb[0][2](silu(self.label_emb[0][0](vector))))
        return embedding


class UNet(ConditionEmbedding):
    """Predicts the noise in a latent.

    latent (N, C, H, W), timestep float32 (1,) or (N,), context (N, L, context_dim) and, for a model with `vector_dim`,
    vector (N, vector_dim) -> epsilon (N, C, H, W). H and W are multiples of `config.downscale`.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        self.input_blocks = nn.CellList(input_stages(config))
        self.middle_block = middle_stage(config)
        self.output_blocks = nn.CellList(_output_stages(config))
        self.out = cells_at(
            {
                0: GroupNorm(config.norm_groups, config.model_channels, NORM_EPSILON),
                2: Convolution(config.model_channels, config.out_channels),
            }
        )

    def construct(self, latent: Tensor, timestep: Tensor, context: Tensor, vector: Tensor | None = None) -> Tensor:
        embedding = self.embed(timestep, vector)
        hidden = self.input_blocks[0][0](latent)
        skips: tuple[Tensor, ...] = (hidden,)
        for stage in self.input_blocks[1:]:
            hidden = stage(hidden, embedding, context)
            skips = (*skips, hidden)
        hidden = self.middle_block(hidden, embedding, context)
        for stage in self.output_blocks:
            hidden = stage(concat((hidden, skips[-1])), embedding, context)
            skips = skips[:-1]
        return self.out[2](silu(self.out[0](hidden)))


def input_stages(config: UNetConfig) -> list[nn.Cell]:
    """The stages on the way down, the first a convolution; each output is kept as a skip for the way up."""
    stages: list[nn.Cell] = [cells_at({0: Convolution(config.in_channels, config.model_channels)})]
    channels = config.model_channels
    last_level = len(config.channels) - 1
    for level, level_channels in enumerate(config.channels):
        for _ in range(config.num_res_blocks):
            stages.append(Stage(_blocks(config, level, channels)))
            channels = level_channels
        if level < last_level:
            stages.append(Stage([Downsample(channels)]))
    return stages


def skip_channels(config: UNetConfig) -> list[int]:
    """Channels of what each input stage leaves for the way up."""
    skips = [config.model_channels]
    for level, channels in enumerate(config.channels):
        skips += [channels] * (config.num_res_blocks + (level < len(config.channels) - 1))
    return skips


def middle_stage(config: UNetConfig) -> nn.Cell:
    """The lowest stage: residual block, transformer, residual block."""
    channels = config.channels[-1]
    return Stage(
        [
            _res_block(config, channels, channels),
            _transformer(config, len(config.channels) - 1, config.middle_transformer_depth),
            _res_block(config, channels, channels),
        ]
    )


def _output_stages(config: UNetConfig) -> list[nn.Cell]:
    stages: list[nn.Cell] = []
    skips = skip_channels(config)
    channels = config.channels[-1]
    for level in reversed(range(len(config.channels))):
        for index in range(config.num_res_blocks + 1):
            blocks = _blocks(config, level, channels + skips.pop())
            channels = config.channels[level]
            if level > 0 and index == config.num_res_blocks:
                blocks.append(Upsample(channels))
            stages.append(Stage(blocks))
    return stages


def _blocks(config: UNetConfig, level: int, in_channels: int) -> list[nn.Cell]:
    blocks: list[nn.Cell] = [_res_block(config, in_channels, config.channels[level])]
    if config.transformer_depth[level]:
        blocks.append(_transformer(config, level, config.transformer_depth[level]))
    return blocks


def _res_block(config: UNetConfig, in_channels: int, out_channels: int) -> nn.Cell:
    return ResBlock(in_channels, out_channels, config.model_channels * 4, config.norm_groups)


def _transformer(config: UNetConfig, level: int, depth: int) -> nn.Cell:
    return SpatialTransformer(
        config.channels[level],
        config.context_dim,
        config.num_heads[level],
        depth,
        config.use_linear_projection,
        config.norm_groups,
    )


def _embedding_layers(in_channels: int, out_channels: int) -> nn.Cell:
    return cells_at({0: Linear(in_channels, out_channels), 2: Linear(out_channels, out_channels)})
