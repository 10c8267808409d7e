from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest
from exporter.models.shapes import WEIGHTS
from exporter.presets import SD15_UNET, SDXL_UNET, SDXL_VAE

from coopdraw.exporter.models.configuration import (
    AutoencoderConfig,
    ControlNetConfig,
    T2IAdapterConfig,
    UNetConfig,
    WordsConfig,
)
from coopdraw.exporter.models.diffusers_configuration import (
    autoencoder_config_from_diffusers,
    unet_config_from_diffusers,
)
from coopdraw.exporter.models.diffusers_control import (
    controlnet_config_from_diffusers,
    t2i_adapter_config_from_diffusers,
)
from coopdraw.exporter.models.errors import ConfigurationError

SHAPES_UNET = json.loads((WEIGHTS / "structure_unet" / "config.json").read_text())
SHAPES_CONTROLNET = json.loads((WEIGHTS / "partner_controlnet" / "config.json").read_text())
SHAPES_VAE = json.loads((WEIGHTS / "vae" / "config.json").read_text())

SDXL_UNET_JSON: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_attention_heads": None,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": 2816,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
"""As stabilityai/stable-diffusion-xl-base-1.0:unet/config.json has it."""

SD15_UNET_JSON: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
"""As runwayml/stable-diffusion-v1-5:unet/config.json has it, written by an early diffusers: many keys are missing."""

SDXL_VAE_JSON: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
"""As stabilityai/stable-diffusion-xl-base-1.0:vae/config.json has it."""


def test_diffusers_configs_of_released_models_are_the_presets() -> None:
    assert unet_config_from_diffusers(SDXL_UNET_JSON) == SDXL_UNET
    # diffusers keeps 8 heads and a depth of 1 for the level without attention.
    assert unet_config_from_diffusers(SD15_UNET_JSON) == SD15_UNET
    assert autoencoder_config_from_diffusers(SDXL_VAE_JSON) == SDXL_VAE


def test_a_controlnet_is_a_unet_and_how_it_reads_the_image() -> None:
    # Keys that it lacks mean SD 1.5's, for all but the width of the context.
    short = controlnet_config_from_diffusers({"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768})
    assert short == ControlNetConfig(**asdict(SD15_UNET), hint_channels=(16, 32, 96, 256), conditioning_channels=3)
    assert short.hint_downscale == 8
    trained = controlnet_config_from_diffusers(SHAPES_CONTROLNET)
    unet = unet_config_from_diffusers(json.loads((WEIGHTS / "partner_unet" / "config.json").read_text()))
    assert trained == ControlNetConfig(**asdict(unet), hint_channels=(16, 32, 48))


def test_a_t2i_adapter_is_that_of_sd_unless_its_config_says_otherwise() -> None:
    assert t2i_adapter_config_from_diffusers({}) == T2IAdapterConfig(3, (320, 640, 1280, 1280), 2, 8, "full_adapter")
    config = t2i_adapter_config_from_diffusers({"adapter_type": "full_adapter_xl", "downscale_factor": 16})
    assert config.feature_shapes(1, 1024, 1024)[1:3] == ((1, 640, 64, 64), (1, 1280, 32, 32))
    assert config.downscale == 32


def test_attention_head_dim_is_the_number_of_heads_unless_that_is_given() -> None:
    assert unet_config_from_diffusers(SHAPES_UNET).num_heads == (2, 2)
    assert unet_config_from_diffusers({**SHAPES_UNET, "num_attention_heads": [1, 4]}).num_heads == (1, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "ControlNetModel"),
        ("act_fn", "gelu"),
        ("addition_embed_type", "image"),
        ("attention_type", "gated"),
        ("class_embed_type", "timestep"),
        ("conv_in_kernel", 5),
        ("cross_attention_dim", [64, 32]),
        ("cross_attention_norm", "layer_norm"),
        ("down_block_types", ["DownBlock2D", "SimpleCrossAttnDownBlock2D"]),
        ("dual_cross_attention", True),
        ("encoder_hid_dim", 512),
        ("flip_sin_to_cos", False),
        ("freq_shift", 1),
        ("layers_per_block", [1, 2]),
        ("mid_block_type", None),
        ("num_class_embeds", 10),
        ("only_cross_attention", True),
        ("projection_class_embeddings_input_dim", None),
        ("resnet_time_scale_shift", "scale_shift"),
        ("reverse_transformer_layers_per_block", [1, 2]),
        ("time_embedding_dim", 64),
        ("time_embedding_type", "fourier"),
        ("transformer_layers_per_block", [1, 1, 1]),
        ("up_block_types", ["UpBlock2D", "CrossAttnUpBlock2D"]),
    ],
)
def test_what_the_unet_does_not_have_is_refused_with_key_and_value(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        unet_config_from_diffusers({**SHAPES_UNET, key: value})
    assert key in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "UNet2DConditionModel"),
        ("conditioning_embedding_out_channels", None),
        ("controlnet_conditioning_channel_order", "bgr"),
        ("down_block_types", ["DownBlock2D", "SimpleCrossAttnDownBlock2D"]),
        ("global_pool_conditions", True),
        ("mid_block_type", "UNetMidBlock2D"),
        ("conditioning_channels", "many"),
    ],
)
def test_what_the_controlnet_does_not_have_is_refused_with_its_value(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        controlnet_config_from_diffusers({**SHAPES_CONTROLNET, key: value})
    assert key in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "MultiAdapter"),
        ("adapter_type", "light_adapter"),
        ("channels", 320),
        ("channels", []),
        ("downscale_factor", 0),
        ("in_channels", "three"),
        ("num_res_blocks", None),
    ],
)
def test_what_the_t2i_adapter_does_not_have_is_refused_with_its_value(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        t2i_adapter_config_from_diffusers({key: value})
    assert key in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "AutoencoderTiny"),
        ("act_fn", "relu"),
        ("down_block_types", ["DownEncoderBlock2D", "AttnDownEncoderBlock2D", "DownEncoderBlock2D"]),
        ("latents_mean", [0.0, 0.0, 0.0, 0.0]),
        ("shift_factor", 0.1159),
        ("scaling_factor", "big"),
        ("norm_num_groups", None),
    ],
)
def test_what_the_vae_does_not_have_is_refused_with_its_value(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        autoencoder_config_from_diffusers({**SHAPES_VAE, key: value})
    assert repr(value) in str(caught.value)


def test_a_missing_key_without_default_is_named() -> None:
    with pytest.raises(ConfigurationError, match="block_out_channels"):
        unet_config_from_diffusers({key: value for key, value in SHAPES_UNET.items() if key != "block_out_channels"})


def test_levels_must_agree() -> None:
    with pytest.raises(ConfigurationError, match="one entry per level"):
        UNetConfig(4, 4, 32, (1, 2), 1, (0, 1, 1), 1, (2, 2), 64)


def test_groups_and_heads_must_divide_the_channels() -> None:
    with pytest.raises(ConfigurationError, match="norm_groups is 5"):
        AutoencoderConfig(3, 3, 4, 16, (1, 2), 1, 1.0, norm_groups=5)
    with pytest.raises(ConfigurationError, match="num_heads is 3"):
        UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, (3, 3), 64)
    # A level without attention doesn't use its heads.
    assert UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, (3, 2), 64).channels == (32, 64)


def test_time_ids_need_a_width() -> None:
    with pytest.raises(ConfigurationError, match="time_embed_dim"):
        WordsConfig(("<pad>", "red"), 8, 64, time_ids=(64, 64))


def test_nothing_here_imports_mindspore() -> None:
    modules = ["models.configuration", "models.diffusers_configuration", "models.build"]
    modules += ["checkpoints.load"]
    code = (
        f"import sys; {'; '.join(f'import coopdraw.exporter.{m}' for m in modules)}; print('mindspore' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
