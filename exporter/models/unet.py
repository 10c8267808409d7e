"""The UNet that predicts noise.

Architecture and parameter names: Stability-AI/generative-models:sgm/modules/diffusionmodules/openaimodel.py and the
checkpoints of mindspore-lab/mindone:examples/pangu_draw_v3 (norms have `gamma` and `beta`).
"""

from __future__ import annotations

from mindspore import Tensor, nn

from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.exporter.models.layers import Convolution, GroupNorm, cells_at
from coopdraw.exporter.models.primitives import add, concat, silu
from coopdraw.exporter.models.residual import NORM_EPSILON, Upsample
from coopdraw.exporter.models.unet_encoder import Stage, UNetEncoder, blocks_of_level


class UNet(UNetEncoder):
    """Predicts the noise in a latent.

    latent (N, C, H, W), timestep float32 (1,) or (N,), context (N, L, context_dim), then `conditions`:
    vector (N, vector_dim) for a model with `vector_dim`; if `controlled`, the residuals of a ControlNet
    (`config.residual_shapes`), each already multiplied by its scale; optionally the features of a T2I-Adapter
    (`config.feature_shapes`), likewise -> epsilon (N, C, H, W).
    H and W are multiples of `config.downscale`. The batch of residuals and features is 1 or N.
    """

    def __init__(self, config: UNetConfig, controlled: bool = False) -> None:
        super().__init__(config)
        self.first_residual = int(self.has_vector)
        self.controlled = controlled
        self.first_feature = self.first_residual + (len(config.skips) + 1 if controlled else 0)
        self.output_blocks = nn.CellList(_output_stages(config))
        self.out = cells_at(
            {
                0: GroupNorm(config.norm_groups, config.model_channels, NORM_EPSILON),
                2: Convolution(config.model_channels, config.out_channels),
            }
        )

    def construct(self, latent: Tensor, timestep: Tensor, context: Tensor, *conditions: Tensor) -> Tensor:
        residuals = conditions[self.first_residual : self.first_feature]
        features = conditions[self.first_feature :]
        if len(features) > len(self.feature_stages) + 1:
            raise ValueError("more features than the levels and the middle of the UNet take")
        embedding = self.embed(timestep, conditions)
        skips = self.encode(self.input_blocks[0][0](latent), embedding, context, features)
        hidden = self.middle_block(skips[-1], embedding, context)
        if len(features) > len(self.feature_stages):
            hidden = add(hidden, features[len(self.feature_stages)])
        if self.controlled:
            hidden = add(hidden, residuals[-1])
        for stage in self.output_blocks:
            skip = add(skips[-1], residuals[len(skips) - 1]) if self.controlled else skips[-1]
            hidden = stage(concat((hidden, skip)), embedding, context)
            skips = skips[:-1]
        return self.out[2](silu(self.out[0](hidden)))


def _output_stages(config: UNetConfig) -> list[nn.Cell]:
    stages: list[nn.Cell] = []
    skips = [channels for channels, _ in config.skips]
    channels = config.channels[-1]
    for level in reversed(range(len(config.channels))):
        for index in range(config.num_res_blocks + 1):
            blocks = blocks_of_level(config, level, channels + skips.pop())
            channels = config.channels[level]
            if level > 0 and index == config.num_res_blocks:
                blocks.append(Upsample(channels))
            stages.append(Stage(blocks))
    return stages
