from __future__ import annotations

from pathlib import Path

import pytest
from exporter.models.shapes import WEIGHTS, golden, loaded_cell, relative_error, run
from exporter.presets import SDXL_VAE

from coopdraw.exporter.models.build import build_cell, parameter_types

# float32 sums in another order than PyTorch's differ by 2e-6 of the range here.
GOLDEN_TOLERANCE = 1e-5

SDXL_SAMPLE = {
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "encoder.down.0.block.0.norm1.gamma": (128,),
    "encoder.down.0.downsample.conv.weight": (128, 128, 3, 3),
    "encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
    "encoder.down.3.block.1.conv2.bias": (512,),
    "encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
    "encoder.norm_out.beta": (512,),
    "encoder.conv_out.weight": (8, 512, 3, 3),
    "quant_conv.weight": (8, 8, 1, 1),
    "post_quant_conv.bias": (4,),
    "decoder.conv_in.weight": (512, 4, 3, 3),
    "decoder.mid.attn_1.norm.gamma": (512,),
    "decoder.mid.attn_1.proj_out.bias": (512,),
    "decoder.mid.block_2.conv1.weight": (512, 512, 3, 3),
    "decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
    "decoder.up.0.block.2.norm2.gamma": (128,),
    "decoder.up.1.upsample.conv.weight": (256, 256, 3, 3),
    "decoder.up.3.block.2.conv1.weight": (512, 512, 3, 3),
    "decoder.norm_out.gamma": (128,),
    "decoder.conv_out.bias": (3,),
}
"""From mindspore-lab/mindone:examples/stable_diffusion_xl/tools/model_conversion/mindspore_key_base.yaml."""

MODELS = pytest.mark.parametrize(("name", "path"), [("vae", WEIGHTS / "vae"), ("partner_vae", WEIGHTS / "partner_vae")])


@MODELS
def test_the_latent_is_that_of_the_pytorch_model(name: str, path: Path) -> None:
    arrays = golden(name)
    found = run(loaded_cell(path, "vae_encoder"), arrays["in:image"])
    assert relative_error(found, arrays["out:latent"]) <= GOLDEN_TOLERANCE


@MODELS
def test_the_image_is_that_of_the_pytorch_model(name: str, path: Path) -> None:
    arrays = golden(name)
    found = run(loaded_cell(path, "vae_decoder"), arrays["out:latent"])
    assert relative_error(found, arrays["out:decoded"]) <= GOLDEN_TOLERANCE


def test_sdxl_has_the_parameters_of_the_released_checkpoint() -> None:
    types = parameter_types(build_cell("vae_encoder", SDXL_VAE)) | parameter_types(build_cell("vae_decoder", SDXL_VAE))
    shapes = {name: type.shape for name, type in types.items()}
    assert {name: shapes.get(name) for name in SDXL_SAMPLE} == SDXL_SAMPLE
    # Of the release: 248 tensors, 83,653,863 numbers.
    assert len(shapes) == 248
    assert sum(type.size for type in types.values()) == 83_653_863
