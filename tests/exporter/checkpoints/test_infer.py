from __future__ import annotations

from dataclasses import asdict

import pytest
from exporter.checkpoints.synthetic import shapes_only
from exporter.models.shapes import WEIGHTS
from exporter.presets import PANGU_DRAW_UNET, SD15_UNET, SDXL_UNET, SDXL_VAE

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.infer import (
    infer_autoencoder_fields,
    infer_controlnet_fields,
    infer_t2i_adapter_fields,
    infer_unet_fields,
)
from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import AutoencoderConfig, ControlNetConfig, T2IAdapterConfig, UNetConfig

SD21_UNET = UNetConfig(4, 4, 320, (1, 2, 4, 4), 2, (1, 1, 1, 0), 1, (5, 10, 20, 20), 1024, None, True)
"""Source: Stability-AI/stablediffusion:configs/stable-diffusion/v2-inference.yaml."""


@pytest.mark.parametrize(
    "config", [SDXL_UNET, PANGU_DRAW_UNET, SD15_UNET, SD21_UNET], ids=["XL", "PanGu", "1.5", "2.1"]
)
def test_released_unets_are_recognised_by_their_shapes(config: UNetConfig) -> None:
    fields, assumed = infer_unet_fields(shapes_only(parameter_types(build_cell("unet", config))), "file")
    # No tensor tells how the size condition of `vector` is embedded.
    assert UNetConfig(**fields, addition_time_embed_dim=config.addition_time_embed_dim) == config
    assert assumed == ("num_heads", "norm_groups")


@pytest.mark.parametrize("unet", [SDXL_UNET, SD15_UNET, SD21_UNET], ids=["XL", "1.5", "2.1"])
def test_released_controlnets_are_recognised_by_their_shapes(unet: UNetConfig) -> None:
    config = ControlNetConfig(**asdict(unet), hint_channels=(16, 32, 96, 256), conditioning_channels=3)
    types = parameter_types(build_cell("control_hint", config)) | parameter_types(build_cell("controlnet", config))
    fields, assumed = infer_controlnet_fields(shapes_only(types), "file")
    assert ControlNetConfig(**fields, addition_time_embed_dim=config.addition_time_embed_dim) == config
    assert assumed == ("num_heads", "norm_groups")
    del types["input_hint_block.4.weight"]
    with pytest.raises(CheckpointError, match=r"file has no tensor input_hint_block.4.weight"):
        infer_controlnet_fields(shapes_only(types), "file")


@pytest.mark.parametrize(
    "config",
    [
        T2IAdapterConfig(1, (320, 640, 1280, 1280), 2, 8),
        T2IAdapterConfig(3, (320, 640, 1280, 1280), 2, 8),
        T2IAdapterConfig(3, (320, 640, 1280, 1280), 2, 16, "full_adapter_xl"),
    ],
    ids=["1.5 grey", "1.5", "XL"],
)
def test_released_t2i_adapters_are_recognised_by_their_shapes(config: T2IAdapterConfig) -> None:
    types = parameter_types(build_cell("t2i_adapter", config))
    fields, assumed = infer_t2i_adapter_fields(shapes_only(types), "file")
    assert T2IAdapterConfig(**fields) == config
    assert assumed == ("in_channels", "downscale_factor", "adapter_type")


def test_t2i_adapters_of_other_builds_are_recognised_or_refused() -> None:
    even = T2IAdapterConfig(3, (64, 64), 2, 8)
    types = parameter_types(build_cell("t2i_adapter", even))
    fields, assumed = infer_t2i_adapter_fields(shapes_only(types), "file")
    assert T2IAdapterConfig(**fields) == even
    # With the same channels everywhere no tensor tells where a level begins.
    assert assumed[-1] == "num_res_blocks"
    types["body.3.in_conv.weight"] = types["body.3.block2.weight"]
    with pytest.raises(CheckpointError, match=r"4 blocks of which \[3\] change the channels"):
        infer_t2i_adapter_fields(shapes_only(types), "file")


def test_the_released_vae_is_recognised_by_its_shapes() -> None:
    halves = [parameter_types(build_cell(kind, SDXL_VAE)) for kind in ("vae_encoder", "vae_decoder")]
    for types in (halves[0] | halves[1], *halves):
        fields, _ = infer_autoencoder_fields(shapes_only(types), "file")
        assert AutoencoderConfig(**fields, scaling_factor=0.13025) == SDXL_VAE


def test_shapes_models_are_recognised_but_for_conventions() -> None:
    unet = open_checkpoint(WEIGHTS / "structure_unet", "unet")
    fields, assumed = infer_unet_fields(unet.weights, "file")
    wanted = asdict(unet.config)
    unknown = {*assumed, "addition_time_embed_dim"}
    assert {key: wanted[key] for key in wanted.keys() - unknown} == {
        key: fields[key] for key in fields.keys() - unknown
    }
    vae = open_checkpoint(WEIGHTS / "vae", "vae")
    fields, assumed = infer_autoencoder_fields(vae.weights, "file")
    assert {**asdict(vae.config), **fields} == asdict(vae.config)


def test_a_vae_without_attention_and_quantisation_convolutions_is_recognised() -> None:
    config = AutoencoderConfig(3, 3, 4, 32, (1, 2), 1, 1.0, 32, False, False, False)
    types = parameter_types(build_cell("vae_encoder", config)) | parameter_types(build_cell("vae_decoder", config))
    fields, _ = infer_autoencoder_fields(shapes_only(types), "file")
    assert AutoencoderConfig(**fields, scaling_factor=1.0) == config


def test_a_missing_or_strange_tensor_is_named() -> None:
    types = parameter_types(build_cell("unet", SD15_UNET))
    del types["input_blocks.4.0.out_layers.3.weight"]
    with pytest.raises(CheckpointError, match=r"file has no tensor input_blocks.4.0.out_layers.3.weight"):
        infer_unet_fields(shapes_only(types), "file")
    types = parameter_types(build_cell("unet", SD15_UNET))
    types["input_blocks.5.0.out_layers.3.weight"] = types["input_blocks.1.0.out_layers.3.weight"]
    with pytest.raises(CheckpointError, match="residual blocks of a level differ"):
        infer_unet_fields(shapes_only(types), "file")
    types["input_blocks.0.0.weight"] = types["out.2.bias"]
    with pytest.raises(CheckpointError, match=r"input_blocks.0.0.weight has shape \[4\]"):
        infer_unet_fields(shapes_only(types), "file")
