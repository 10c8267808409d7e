"""Writes a large random pipeline in the layout of released checkpoints, tensor by tensor: weights of any size on disk.

usage: python synthetic.py FOLDER GIGABYTES
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np

from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.graphs.types import TensorType

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "shapes"
RECIPE = """\
[pipeline]
name = "synthetic"
image_size = [64, 64]
steps = 20
guidance = {{ text = 5.0 }}
experts = {{ structure = "structure", texture = "texture" }}
vae = "vae"
context_length = 16
[models.structure]
kind = "unet"
weights = "structure.safetensors"
config = {{ num_heads = {heads} }}
[models.texture]
kind = "unet"
weights = "texture.safetensors"
config = {{ num_heads = {heads} }}
[models.vae]
kind = "vae"
weights = "weights/vae"
"""


def unet_types(channels: int) -> tuple[UNetConfig, dict[str, TensorType]]:
    """An SDXL-shaped UNet of that many channels, and its parameters."""
    config = UNetConfig(
        in_channels=4,
        out_channels=4,
        model_channels=channels,
        channel_mult=(1, 2, 4),
        num_res_blocks=2,
        transformer_depth=(0, 2, 4),
        middle_transformer_depth=4,
        num_heads=(1, 2, 4),
        context_dim=256,
        vector_dim=320,
        use_linear_projection=True,
    )
    return config, parameter_types(build_cell("unet", config))


def write_random(path: Path, types: dict[str, TensorType], seed: int) -> int:
    """A safetensors file of small random float32 values; returns its bytes."""
    header: dict[str, object] = {}
    offset = 0
    for name, type in types.items():
        full = f"model.diffusion_model.{name}"
        header[full] = {"dtype": "F32", "shape": list(type.shape), "data_offsets": [offset, offset + type.nbytes]}
        offset += type.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = np.random.default_rng(seed)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for type in types.values():
            stream.write((generator.standard_normal(type.shape, np.float32) * np.float32(0.02)).tobytes())
    return offset


def write_pipeline(folder: Path, gigabytes: float) -> int:
    """Recipe, two experts of half that size each, and the example's VAE; returns the bytes of the experts."""
    channels = 32
    while 2 * sum(type.nbytes for type in unet_types(channels)[1].values()) < gigabytes * 1e9:
        channels += 32
    config, types = unet_types(channels)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").symlink_to(EXAMPLE / "weights")
    (folder / "recipe.toml").write_text(RECIPE.format(heads=list(config.num_heads)))
    paths = [folder / f"{name}.safetensors" for name in ("structure", "texture")]
    return sum(write_random(path, types, seed) for seed, path in enumerate(paths))


if __name__ == "__main__":
    print(write_pipeline(Path(sys.argv[1]), float(sys.argv[2])))
