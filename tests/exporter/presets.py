"""The architectures of released models."""

from __future__ import annotations

from dataclasses import replace

from coopdraw.exporter.models.configuration import AutoencoderConfig, UNetConfig

SDXL_UNET = UNetConfig(
    in_channels=4,
    out_channels=4,
    model_channels=320,
    channel_mult=(1, 2, 4),
    num_res_blocks=2,
    transformer_depth=(0, 2, 10),
    middle_transformer_depth=10,
    num_heads=(5, 10, 20),
    context_dim=2048,
    vector_dim=2816,
    use_linear_projection=True,
    addition_time_embed_dim=256,
)
"""Source: Stability-AI/generative-models:configs/inference/sd_xl_base.yaml."""

PANGU_DRAW_UNET = replace(SDXL_UNET, vector_dim=1536)
"""Each of the two generators. Source: arXiv 2312.16486 and mindspore-lab/mindone:examples/pangu_draw_v3."""

SD15_UNET = UNetConfig(
    in_channels=4,
    out_channels=4,
    model_channels=320,
    channel_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    transformer_depth=(1, 1, 1, 0),
    middle_transformer_depth=1,
    num_heads=(8, 8, 8, 8),
    context_dim=768,
)
"""Source: CompVis/stable-diffusion:configs/stable-diffusion/v1-inference.yaml."""

SDXL_VAE = AutoencoderConfig(
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    channels=128,
    channel_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    scaling_factor=0.13025,
)
"""PanGu-Draw's too. Source: Stability-AI/generative-models:configs/inference/sd_xl_base.yaml."""
