"""The half of the UNet that ControlNets copy: condition embedding, the way down, and the middle.

Architecture and parameter names: Stability-AI/generative-models:sgm/modules/diffusionmodules/openaimodel.py and the
checkpoints of mindspore-lab/mindone:examples/pangu_draw_v3 (norms have `gamma` and `beta`).
"""

from __future__ import annotations

from mindspore import Tensor, nn

from coopdraw.exporter.models.attention import SpatialTransformer
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.exporter.models.embedding import TimestepEmbedding
from coopdraw.exporter.models.layers import Convolution, Linear, cells_at
from coopdraw.exporter.models.primitives import add, silu
from coopdraw.exporter.models.residual import Downsample, ResBlock


class Stage(nn.SequentialCell):
    """A chain of UNet blocks: (hidden, embedding, context) -> hidden. Parameters: `0`, `1`, ..."""

    def construct(self, hidden: Tensor, embedding: Tensor, context: Tensor) -> Tensor:
        for block in self.cell_list:
            hidden = block(hidden, embedding, context)
        return hidden


class UNetEncoder(nn.Cell):
    """What a UNet and its ControlNet have in common. Subclasses add `construct`.

    A part that has no name of its own in the layout, hence a base class.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.model_channels
        self.timestep_embedding = TimestepEmbedding(channels)
        self.time_embed = _embedding_layers(channels, channels * 4)
        self.has_vector = config.vector_dim is not None
        if config.vector_dim is not None:
            self.label_emb = cells_at({0: _embedding_layers(config.vector_dim, channels * 4)})
        self.input_blocks = nn.CellList(_input_stages(config))
        self.middle_block = _middle_stage(config)
        self.feature_stages = _feature_stages(config)

    def embed(self, timestep: Tensor, conditions: tuple[Tensor, ...]) -> Tensor:
        """Timestep (1 or N,) and the first condition, `vector` (N, V), if the model has one, to what the residual
        blocks read: (1 or N, 4 * model_channels).
        """
        embedding = self.time_embed[2](silu(self.time_embed[0](self.timestep_embedding(timestep))))
        if self.has_vector:
            embedding = add(embedding, self.label_emb[0][2](silu(self.label_emb[0][0](conditions[0]))))
        return embedding

    def encode(
        self, hidden: Tensor, embedding: Tensor, context: Tensor, features: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """The output of the first convolution, to the skips for the way up; the last one is for the middle too.

        A feature per level, if there are any, is added where diffusers:models/unets/unet_2d_condition.py adds
        `down_intrablock_additional_residuals`.
        """
        skips: tuple[Tensor, ...] = (hidden,)
        for index in range(1, len(self.input_blocks)):
            hidden = self.input_blocks[index](hidden, embedding, context)
            for level in range(min(len(features), len(self.feature_stages))):
                if self.feature_stages[level] == index:
                    hidden = add(hidden, features[level])
            skips = (*skips, hidden)
        return skips


def blocks_of_level(config: UNetConfig, level: int, in_channels: int) -> list[nn.Cell]:
    """A residual block to the level's channels, and its transformer if the level has attention."""
    blocks: list[nn.Cell] = [_res_block(config, in_channels, config.channels[level])]
    if config.transformer_depth[level]:
        blocks.append(_transformer(config, level, config.transformer_depth[level]))
    return blocks


def _input_stages(config: UNetConfig) -> list[nn.Cell]:
    """The stages on the way down, the first a convolution."""
    stages: list[nn.Cell] = [cells_at({0: Convolution(config.in_channels, config.model_channels)})]
    channels = config.model_channels
    last_level = len(config.channels) - 1
    for level, level_channels in enumerate(config.channels):
        for _ in range(config.num_res_blocks):
            stages.append(Stage(blocks_of_level(config, level, channels)))
            channels = level_channels
        if level < last_level:
            stages.append(Stage([Downsample(channels)]))
    return stages


def _middle_stage(config: UNetConfig) -> nn.Cell:
    """The lowest stage: residual block, transformer, residual block."""
    channels = config.channels[-1]
    return Stage(
        [
            _res_block(config, channels, channels),
            _transformer(config, len(config.channels) - 1, config.middle_transformer_depth),
            _res_block(config, channels, channels),
        ]
    )


def _feature_stages(config: UNetConfig) -> tuple[int, ...]:
    """Index of the input stage whose output gets the feature of each level.

    That is the level's last residual block if it has attention, else (as in diffusers) what follows it: the
    downsampling, which only the last level lacks.
    """
    last_level = len(config.channels) - 1
    ends = [level * (config.num_res_blocks + 1) + config.num_res_blocks for level in range(last_level + 1)]
    return tuple(
        end + (depth == 0 and level < last_level)
        for level, (end, depth) in enumerate(zip(ends, config.transformer_depth, strict=True))
    )


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
