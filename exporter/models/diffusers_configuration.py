"""UNets and VAEs from the `config.json` of diffusers. What the built-in Cells don't have is refused, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coopdraw.exporter.models.configuration import AutoencoderConfig, UNetConfig
from coopdraw.exporter.models.diffusers_values import (
    channel_mult,
    check_block_types,
    check_choice,
    check_class,
    check_fixed,
    integers,
    refuse,
    required,
    same_everywhere,
)

_UNET_DEFAULTS: Mapping[str, Any] = {
    "act_fn": "silu",
    "addition_embed_type": None,
    "addition_time_embed_dim": None,
    "attention_head_dim": 8,
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "layers_per_block": 2,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "num_attention_heads": None,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "projection_class_embeddings_input_dim": None,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "reverse_transformer_layers_per_block": None,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
    "transformer_layers_per_block": 1,
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "use_linear_projection": False,
}
"""What diffusers assumes for a key that is missing. Source: diffusers:models/unets/unet_2d_condition.py."""

_UNET_FIXED = (
    "attention_type",
    "center_input_sample",
    "class_embed_type",
    "conv_in_kernel",
    "conv_out_kernel",
    "cross_attention_norm",
    "downsample_padding",
    "dual_cross_attention",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "flip_sin_to_cos",
    "freq_shift",
    "mid_block_scale_factor",
    "mid_block_type",
    "norm_eps",
    "num_class_embeds",
    "only_cross_attention",
    "resnet_out_scale_factor",
    "resnet_skip_time_act",
    "resnet_time_scale_shift",
    "reverse_transformer_layers_per_block",
    "time_cond_proj_dim",
    "time_embedding_act_fn",
    "time_embedding_type",
    "timestep_post_act",
)
"""The keys for which the Cells have exactly diffusers' default."""

_AUTOENCODER_DEFAULTS: Mapping[str, Any] = {
    "act_fn": "silu",
    "in_channels": 3,
    "latent_channels": 4,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 1,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
"""What diffusers assumes for a key that is missing. Source: diffusers:models/autoencoders/autoencoder_kl.py."""


def unet_config_from_diffusers(config: Mapping[str, Any]) -> UNetConfig:
    """The UNet that a diffusers `UNet2DConditionModel` config describes.

    diffusers' `attention_head_dim` is the number of heads, unless `num_attention_heads` is given. Raises
    ConfigurationError that names the key and its value for what the built-in UNet doesn't have.
    """
    check_class(config, "UNet2DConditionModel")
    values = {**_UNET_DEFAULTS, **config}
    check_fixed(values, _UNET_DEFAULTS, _UNET_FIXED)
    check_choice(values, "act_fn", ("silu", "swish"))
    check_choice(values, "mid_block_only_cross_attention", (None, False))
    channels = integers(values, "block_out_channels", None)
    levels = len(channels)
    attention = _attention_levels(values, levels)
    depths = integers(values, "transformer_layers_per_block", levels)
    check_choice(values, "time_embedding_dim", (None, channels[0] * 4))
    heads_key = "attention_head_dim" if values["num_attention_heads"] is None else "num_attention_heads"
    return UNetConfig(
        in_channels=required(values, "in_channels"),
        out_channels=required(values, "out_channels"),
        model_channels=channels[0],
        channel_mult=channel_mult(channels),
        num_res_blocks=same_everywhere(values, "layers_per_block"),
        transformer_depth=tuple(depth if has else 0 for depth, has in zip(depths, attention, strict=True)),
        middle_transformer_depth=depths[-1],
        num_heads=integers(values, heads_key, levels),
        context_dim=same_everywhere(values, "cross_attention_dim"),
        vector_dim=_vector_dim(values),
        use_linear_projection=values["use_linear_projection"],
        norm_groups=values["norm_num_groups"],
        addition_time_embed_dim=values["addition_time_embed_dim"],
    )


def autoencoder_config_from_diffusers(config: Mapping[str, Any]) -> AutoencoderConfig:
    """The VAE that a diffusers `AutoencoderKL` config describes.

    Raises ConfigurationError that names the key and its value for what the built-in VAE doesn't have.
    """
    check_class(config, "AutoencoderKL")
    values = {**_AUTOENCODER_DEFAULTS, **config}
    check_fixed(values, _AUTOENCODER_DEFAULTS, ("latents_mean", "latents_std", "shift_factor"))
    check_choice(values, "act_fn", ("silu", "swish"))
    channels = integers(values, "block_out_channels", None)
    check_block_types(values, "down_block_types", ("DownEncoderBlock2D",), len(channels))
    check_block_types(values, "up_block_types", ("UpDecoderBlock2D",), len(channels))
    return AutoencoderConfig(
        in_channels=values["in_channels"],
        out_channels=values["out_channels"],
        latent_channels=values["latent_channels"],
        channels=channels[0],
        channel_mult=channel_mult(channels),
        num_res_blocks=same_everywhere(values, "layers_per_block"),
        scaling_factor=values["scaling_factor"],
        norm_groups=values["norm_num_groups"],
        mid_attention=values["mid_block_add_attention"],
        use_quant_conv=values["use_quant_conv"],
        use_post_quant_conv=values["use_post_quant_conv"],
    )


def _attention_levels(values: Mapping[str, Any], levels: int) -> tuple[bool, ...]:
    down = check_block_types(values, "down_block_types", ("CrossAttnDownBlock2D", "DownBlock2D"), levels)
    up = check_block_types(values, "up_block_types", ("CrossAttnUpBlock2D", "UpBlock2D"), levels)
    attention = tuple(name.startswith("CrossAttn") for name in down)
    if attention != tuple(name.startswith("CrossAttn") for name in reversed(up)):
        raise refuse("up_block_types", list(up), "attention at the same levels as down_block_types")
    return attention


def _vector_dim(values: Mapping[str, Any]) -> int | None:
    check_choice(values, "addition_embed_type", (None, "text_time"))
    if values["addition_embed_type"] is None:
        return None
    width = values["projection_class_embeddings_input_dim"]
    if not isinstance(width, int):
        raise refuse("projection_class_embeddings_input_dim", width, "an integer with addition_embed_type 'text_time'")
    return width
