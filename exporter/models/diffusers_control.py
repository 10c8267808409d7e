"""ControlNets and T2I-Adapters from the `config.json` of diffusers; what the built-in Cells don't have is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from coopdraw.exporter.models.configuration import ControlNetConfig, T2IAdapterConfig, UNetConfig
from coopdraw.exporter.models.diffusers_configuration import unet_config_from_diffusers
from coopdraw.exporter.models.diffusers_values import check_class, check_fixed, integers

_CONTROLNET_DEFAULTS: Mapping[str, Any] = {
    "conditioning_channels": 3,
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
    "controlnet_conditioning_channel_order": "rgb",
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "global_pool_conditions": False,
    "in_channels": 4,
}
"""What diffusers assumes for a key that is missing. Source: diffusers:models/controlnets/controlnet.py."""

_CONTROLNET_FIXED = ("controlnet_conditioning_channel_order", "global_pool_conditions")


_T2I_ADAPTER_DEFAULTS: Mapping[str, Any] = {
    "adapter_type": "full_adapter",
    "channels": (320, 640, 1280, 1280),
    "downscale_factor": 8,
    "in_channels": 3,
    "num_res_blocks": 2,
}
"""What diffusers assumes for a key that is missing. Source: diffusers:models/adapter.py."""


def controlnet_config_from_diffusers(config: Mapping[str, Any]) -> ControlNetConfig:
    """The ControlNet that a diffusers `ControlNetModel` config describes.

    Raises ConfigurationError that names the key and its value for what the built-in ControlNet doesn't have.
    """
    check_class(config, "ControlNetModel")
    values = {**_CONTROLNET_DEFAULTS, **config}
    check_fixed(values, _CONTROLNET_DEFAULTS, _CONTROLNET_FIXED)
    unet = unet_config_from_diffusers(_config_of_its_unet(values))
    return ControlNetConfig(
        **{field.name: getattr(unet, field.name) for field in fields(UNetConfig)},
        hint_channels=integers(values, "conditioning_embedding_out_channels", None),
        conditioning_channels=values["conditioning_channels"],
    )


def t2i_adapter_config_from_diffusers(config: Mapping[str, Any]) -> T2IAdapterConfig:
    """The T2I-Adapter that a diffusers `T2IAdapter` config describes.

    Raises ConfigurationError that names the key and its value for what the built-in adapter doesn't have.
    """
    check_class(config, "T2IAdapter")
    values = {**_T2I_ADAPTER_DEFAULTS, **config}
    return T2IAdapterConfig(
        in_channels=values["in_channels"],
        channels=integers(values, "channels", None),
        num_res_blocks=values["num_res_blocks"],
        downscale_factor=values["downscale_factor"],
        adapter_type=values["adapter_type"],
    )


def _config_of_its_unet(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what only a UNet has: a way up that mirrors the way down, and an output like the input."""
    down = values["down_block_types"]
    up = [str(name).replace("Down", "Up") for name in reversed(down)] if isinstance(down, list | tuple) else down
    return {
        **values,
        "_class_name": "UNet2DConditionModel",
        "out_channels": values["in_channels"],
        "up_block_types": up,
    }
