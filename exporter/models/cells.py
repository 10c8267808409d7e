"""Every kind of built-in Cell, and the configuration that it is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mindspore import nn

from coopdraw.exporter.models.autoencoder import AutoencoderDecoder, AutoencoderEncoder
from coopdraw.exporter.models.configuration import (
    AutoencoderConfig,
    ControlNetConfig,
    T2IAdapterConfig,
    UNetConfig,
    WordsConfig,
)
from coopdraw.exporter.models.controlnet import ControlHint, ControlNet
from coopdraw.exporter.models.t2i_adapter import T2IAdapter
from coopdraw.exporter.models.unet import UNet
from coopdraw.exporter.models.words import WordEncoder

CELLS: Mapping[str, tuple[type[Any], Callable[[Any], nn.Cell]]] = {
    "unet": (UNetConfig, UNet),
    "unet_controlled": (UNetConfig, partial(UNet, controlled=True)),
    "control_hint": (ControlNetConfig, ControlHint),
    "controlnet": (ControlNetConfig, ControlNet),
    "t2i_adapter": (T2IAdapterConfig, T2IAdapter),
    "vae_encoder": (AutoencoderConfig, AutoencoderEncoder),
    "vae_decoder": (AutoencoderConfig, AutoencoderDecoder),
    "words": (WordsConfig, WordEncoder),
}
