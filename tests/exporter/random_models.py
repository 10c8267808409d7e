"""Small models with random weights, written as their releases are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import T2IAdapterConfig, UNetConfig
from coopdraw.graphs.types import TensorType

# The demo's UNets take (32, 8, 8) below their first level, which has no attention, and (64, 8, 8) at the second.
COLOUR = T2IAdapterConfig(3, (32, 64), 2, 8, "full_adapter_xl")
GREY = T2IAdapterConfig(1, (32,), 1, 8, "full_adapter_xl")

# SD 1.5 with a tenth of its channels and the context of the demo's words: 8 heads, convolutions as projections, no
# vector, no attention at the lowest level; and the T2I-Adapter of such a model for latents of a quarter of the image.
SMALL_SD15 = UNetConfig(
    in_channels=4,
    out_channels=4,
    model_channels=32,
    channel_mult=(1, 2, 4, 4),
    num_res_blocks=2,
    transformer_depth=(1, 1, 1, 0),
    middle_transformer_depth=1,
    num_heads=(8, 8, 8, 8),
    context_dim=64,
)
SMALL_SD15_ADAPTER = T2IAdapterConfig(3, (32, 64, 128, 128), 2, 4)


def random_values(types: Mapping[str, TensorType], seed: int) -> dict[str, np.ndarray]:
    """Values that keep the scale of what goes through: norms near 1, small biases, products of unit variance."""
    generator = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        noise = generator.standard_normal(shape, np.float32)
        if len(shape) == 1:
            return np.float32(name.endswith("gamma")) + np.float32(0.1) * noise
        return noise / np.float32(np.sqrt(np.prod(shape[1:])))

    return {name: draw(name, type.shape) for name, type in types.items()}


def t2i_adapter_values(config: T2IAdapterConfig, seed: int) -> dict[str, np.ndarray]:
    """A T2I-Adapter under the released names."""
    return random_values(parameter_types(build_cell("t2i_adapter", config)), seed)


def unet_values(config: UNetConfig, seed: int) -> dict[str, np.ndarray]:
    """A UNet under the released MindSpore names."""
    return random_values(parameter_types(build_cell("unet", config)), seed)


def write_t2i_adapter(folder: Path, config: T2IAdapterConfig, seed: int = 0) -> Path:
    """A folder of diffusers' `T2IAdapter.save_pretrained`."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": "T2IAdapter", **asdict(config)}))
    stored = {_diffusers_name(name, config): value for name, value in t2i_adapter_values(config, seed).items()}
    save_file(stored, folder / "diffusion_pytorch_model.safetensors")
    return folder


def _diffusers_name(name: str, config: T2IAdapterConfig) -> str:
    """Blocks are counted in their level; a level's first block keeps its convolution outside of the list."""
    found = re.fullmatch(r"body\.(\d+)\.(.*)", name)
    if found is None:
        return f"adapter.{name}"
    level, index = divmod(int(found[1]), config.num_res_blocks)
    place = "" if found[2].startswith("in_conv.") else f"resnets.{index}."
    return f"adapter.body.{level}.{place}{found[2]}"
