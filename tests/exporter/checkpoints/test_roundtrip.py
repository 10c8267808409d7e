"""The same weights in every layout and format that users have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from exporter.checkpoints.synthetic import (
    PREFIXES,
    read_all,
    released_values,
    save_mindspore_ckpt,
    save_sgm_safetensors,
)
from exporter.models.shapes import DATA, WEIGHTS, golden, loaded_cell, run
from safetensors.numpy import load_file, save_file

from coopdraw.exporter.checkpoints.load import open_checkpoint

# What the tensors of a single file don't tell.
UNET_OVERRIDES = {"num_heads": [2, 2], "norm_groups": 8, "addition_time_embed_dim": 16}
ADAPTER = DATA / "t2i_adapter" / "full_adapter_xl" / "adapter"
ADAPTER_OVERRIDES = {"in_channels": 3, "downscale_factor": 4, "adapter_type": "full_adapter_xl"}
VAE_OVERRIDES = {"scaling_factor": 0.91857, "norm_groups": 16}
MODELS = pytest.mark.parametrize(
    ("kind", "folder", "overrides"),
    [
        ("unet", WEIGHTS / "structure_unet", UNET_OVERRIDES),
        ("controlnet", WEIGHTS / "partner_controlnet", UNET_OVERRIDES),
        ("t2i_adapter", ADAPTER, ADAPTER_OVERRIDES),
        ("vae", WEIGHTS / "vae", VAE_OVERRIDES),
    ],
)


def assert_equal(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


@MODELS
@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("layout", ["sgm.safetensors", "mindspore.ckpt", "mindspore.safetensors"])
def test_other_layouts_hold_the_same_model(
    kind: Any, folder: Path, overrides: dict[str, Any], prefixed: bool, layout: str, tmp_path: Path
) -> None:
    diffusers = open_checkpoint(folder, kind)
    values = read_all(diffusers.weights)
    prefix = PREFIXES[kind] if prefixed else ""
    path = tmp_path / layout
    if layout == "sgm.safetensors":
        save_sgm_safetensors(path, values, prefix)
    elif layout == "mindspore.ckpt":
        save_mindspore_ckpt(path, values, prefix)
    else:
        save_file({prefix + name: value for name, value in values.items()}, path)
    found = open_checkpoint(path, kind, overrides)
    assert found.config == diffusers.config
    assert found.assumed == ()
    assert_equal(read_all(found.weights), values)


# The adapter as mindspore-lab/mindone:examples/t2i_adapter/adapters/t2i_adapter.py numbers its chains: the third level
# begins with pooling, and only the first two with a convolution.
MINDONE_BLOCKS = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (3, 0), (3, 1)]


def test_an_adapter_converted_by_mindone_is_the_same(tmp_path: Path) -> None:
    values = released_values(ADAPTER, "t2i_adapter")
    chains = {
        f"body.{index}.block{half + 1}": f"body.{level}.{place}.block.{2 * half}"
        for index, (level, place) in enumerate(MINDONE_BLOCKS)
        for half in range(2)
    }
    chains |= {"conv_in": "body.0.0", "body.2.in_conv": "body.1.0"}
    stored = {}
    for name, value in values.items():
        module, _, last = name.rpartition(".")
        stored[f"{chains[module]}.{last}"] = value
    path = save_mindspore_ckpt(tmp_path / "adapter.ckpt", stored)
    found = open_checkpoint(path, "t2i_adapter", ADAPTER_OVERRIDES)
    assert found.config == open_checkpoint(ADAPTER, "t2i_adapter").config
    assert_equal(read_all(found.weights), values)


def test_a_controlnets_cells_find_their_parts_in_one_file(tmp_path: Path) -> None:
    arrays = golden("controlnet")
    values = released_values(WEIGHTS / "partner_controlnet", "controlnet")
    path = save_sgm_safetensors(tmp_path / "controlnet.safetensors", values, PREFIXES["controlnet"])
    hint = run(loaded_cell(path, "control_hint", UNET_OVERRIDES), arrays["in:image"])
    np.testing.assert_array_equal(
        hint, run(loaded_cell(WEIGHTS / "partner_controlnet", "control_hint"), arrays["in:image"])
    )
    assert loaded_cell(path, "controlnet", UNET_OVERRIDES)


def test_outputs_are_bit_identical_too(tmp_path: Path) -> None:
    arrays = golden("unet_texture")
    inputs = (arrays["in:x"], np.asarray([arrays["in:t"]], np.float32), arrays["in:context"], arrays["in:vector"])
    folder = WEIGHTS / "texture_unet"
    values = released_values(folder, "unet")
    ckpt = save_mindspore_ckpt(tmp_path / "texture.ckpt", values, PREFIXES["unet"])
    wanted = run(loaded_cell(folder, "unet"), *inputs)
    np.testing.assert_array_equal(run(loaded_cell(ckpt, "unet", UNET_OVERRIDES), *inputs), wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_other_float_types_are_read_as_float32(dtype: Any, suffix: str, tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "vae", "vae")
    stored = {name: value.astype(dtype) for name, value in values.items()}
    path = tmp_path / f"vae{suffix}"
    if suffix == ".safetensors":
        save_file(stored, path)
    elif dtype is ml_dtypes.bfloat16:
        import mindspore

        tensors = {name: mindspore.Tensor(value).astype(mindspore.bfloat16) for name, value in values.items()}
        mindspore.save_checkpoint([{"name": name, "data": tensor} for name, tensor in tensors.items()], str(path))
    else:
        save_mindspore_ckpt(path, stored)
    found = read_all(open_checkpoint(path, "vae", VAE_OVERRIDES).weights)
    assert_equal(found, {name: value.astype(np.float32) for name, value in stored.items()})


def test_a_file_with_several_models_gives_each_of_them(tmp_path: Path) -> None:
    folders = {"unet": "structure_unet", "controlnet": "partner_controlnet", "vae": "vae"}
    models = {kind: released_values(WEIGHTS / folder, kind) for kind, folder in folders.items()}
    values = {PREFIXES[kind] + name: value for kind, model in models.items() for name, value in model.items()}
    values["conditioner.embedders.0.transformer.text_model.embeddings.position_ids"] = np.arange(77)[None]
    path = save_mindspore_ckpt(tmp_path / "all.ckpt", values)
    assert_equal(read_all(open_checkpoint(path, "unet", UNET_OVERRIDES).weights), models["unet"])
    assert_equal(read_all(open_checkpoint(path, "controlnet", UNET_OVERRIDES).weights), models["controlnet"])
    assert_equal(read_all(open_checkpoint(path, "vae", VAE_OVERRIDES).weights), models["vae"])


def test_names_of_diffusers_before_0_17_are_known(tmp_path: Path) -> None:
    stored = load_file(WEIGHTS / "vae" / "diffusion_pytorch_model.safetensors")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    renamed = {}
    for name, value in stored.items():
        for new_part, old_part in old.items():
            name = name.replace(f"attentions.0.{new_part}.", f"attentions.0.{old_part}.")
        renamed[name] = value
    assert renamed.keys() != stored.keys()
    save_file(renamed, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_bytes((WEIGHTS / "vae" / "config.json").read_bytes())
    assert_equal(read_all(open_checkpoint(tmp_path, "vae").weights), released_values(WEIGHTS / "vae", "vae"))


def test_a_diffusers_file_can_be_named_itself() -> None:
    folder = WEIGHTS / "structure_unet"
    by_folder, by_file = (
        open_checkpoint(path, "unet") for path in (folder, folder / "diffusion_pytorch_model.safetensors")
    )
    assert by_file == by_folder
