from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter.checkpoints.synthetic import PREFIXES, released_values, save_sgm_safetensors, shapes_only
from exporter.models.shapes import DATA, WEIGHTS
from safetensors.numpy import load_file, save_file

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.load import match, open_checkpoint
from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import WordsConfig
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight


def types(**shapes: tuple[int, ...]) -> dict[str, TensorType]:
    return {name.replace("__", "."): TensorType(DType.FLOAT32, shape) for name, shape in shapes.items()}


def test_match_lists_everything_that_is_wrong_at_once() -> None:
    weights = shapes_only(types(same=(2,), other_shape=(3, 4), extra=(1,), another_extra=(1,)))
    with pytest.raises(CheckpointError) as caught:
        match(weights, types(same=(2,), other_shape=(4, 3), absent=(5,)), "models.structure")
    message = str(caught.value)
    assert message.startswith("models.structure does not fit")
    assert "1 missing (absent)" in message
    assert "2 unexpected (extra, another_extra)" in message
    assert "1 misshapen (other_shape [3, 4] instead of [4, 3])" in message


def test_match_cuts_long_lists() -> None:
    expected = {f"absent.{index}": TensorType(DType.FLOAT32, (1,)) for index in range(25)}
    with pytest.raises(CheckpointError) as caught:
        match({}, expected, "models.structure")
    assert "25 missing (absent.0," in str(caught.value)
    assert "absent.19 and 5 more)" in str(caught.value)


def test_match_lets_the_other_half_of_a_vae_be_there_or_not() -> None:
    checkpoint = open_checkpoint(WEIGHTS / "vae", "vae")
    expected = parameter_types(build_cell("vae_decoder", checkpoint.config))
    decoder = {name: weight for name, weight in checkpoint.weights.items() if name in expected}
    assert match(checkpoint.weights, expected, "vae") == match(decoder, expected, "vae") == decoder
    with pytest.raises(CheckpointError, match=r"1 unexpected \(decoder.more\)"):
        match({**decoder, "decoder.more": decoder["post_quant_conv.bias"]}, expected, "vae")


def test_match_lets_the_other_half_of_a_controlnet_be_there_or_not() -> None:
    checkpoint = open_checkpoint(WEIGHTS / "partner_controlnet", "controlnet")
    hint, net = (parameter_types(build_cell(kind, checkpoint.config)) for kind in ("control_hint", "controlnet"))
    assert hint.keys() | net.keys() == checkpoint.weights.keys()
    for expected in (hint, net):
        half = {name: weight for name, weight in checkpoint.weights.items() if name in expected}
        assert match(checkpoint.weights, expected, "control") == match(half, expected, "control") == half
        with pytest.raises(CheckpointError, match=r"1 unexpected \(out\.more\)"):
            match({**half, "out.more": half[next(iter(half))]}, expected, "control")
    unet = open_checkpoint(WEIGHTS / "partner_unet", "unet")
    with pytest.raises(CheckpointError, match=r"1 unexpected \(input_hint_block.0.bias\)"):
        match(
            {**unet.weights, "input_hint_block.0.bias": checkpoint.weights["input_hint_block.0.bias"]},
            parameter_types(build_cell("unet_controlled", unet.config)),
            "unet",
        )


def test_match_converts_weights_in_memory() -> None:
    weights = {"a": ArrayWeight(np.ones(2, np.float16)), "b": ArrayWeight(np.ones(2, np.float32))}
    matched = match(weights, types(a=(2,), b=(2,)), "model")
    assert matched["a"].read().dtype == np.float32
    assert matched["b"] is weights["b"]


def test_a_model_of_another_kind_is_named() -> None:
    with pytest.raises(CheckpointError, match="holds a VAE, not a UNet"):
        open_checkpoint(WEIGHTS / "vae", "unet")
    with pytest.raises(CheckpointError, match="holds a UNet, not a VAE"):
        open_checkpoint(WEIGHTS / "structure_unet", "vae")
    with pytest.raises(CheckpointError, match="holds a UNet, not a ControlNet"):
        open_checkpoint(WEIGHTS / "structure_unet", "controlnet")
    with pytest.raises(CheckpointError, match="holds a ControlNet, not a T2I-Adapter"):
        open_checkpoint(WEIGHTS / "partner_controlnet", "t2i_adapter")
    with pytest.raises(CheckpointError, match="holds a T2I-Adapter, not a UNet"):
        open_checkpoint(DATA / "t2i_adapter" / "full_adapter" / "adapter", "unet")


def test_a_controlnet_is_no_unet_in_any_layout(tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "partner_controlnet", "controlnet")
    sgm = save_sgm_safetensors(tmp_path / "controlnet.safetensors", values, "")
    for path in (WEIGHTS / "partner_controlnet", sgm):
        with pytest.raises(CheckpointError, match="holds a ControlNet, not a UNet"):
            open_checkpoint(path, "unet")


def test_an_unknown_layout_is_explained_with_names_from_the_file(tmp_path: Path) -> None:
    save_file({f"layer.{index}": np.zeros(1, np.float32) for index in range(7)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "x.safetensors", "unet")
    message = str(caught.value)
    for part in ("layer.0, layer.1, layer.2, layer.3, layer.4 ...", "diffusers", "SGM", PREFIXES["unet"]):
        assert part in message


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "structure_unet", "unet")
    values["out.2.weight"] = np.zeros(values["out.2.weight"].shape, np.int8)
    path = save_sgm_safetensors(tmp_path / "unet.safetensors", values, "")
    with pytest.raises(CheckpointError, match=r"out.2.weight is int8; quantised"):
        open_checkpoint(path, "unet")


def test_two_tensors_for_one_parameter_are_refused(tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "structure_unet", "unet")
    values["out.0.weight"] = values["out.0.gamma"]
    save_file(values, tmp_path / "unet.safetensors")
    with pytest.raises(CheckpointError, match=r"two tensors for out\.0\.gamma"):
        open_checkpoint(tmp_path, "unet")


def test_absurd_block_numbers_are_unexpected_tensors(tmp_path: Path) -> None:
    stored = load_file(WEIGHTS / "structure_unet" / "diffusion_pytorch_model.safetensors")
    strange = f"down_blocks.{'9' * 5000}.resnets.0.conv1.weight"
    save_file({**stored, strange: np.zeros(1, np.float32)}, tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_bytes((WEIGHTS / "structure_unet" / "config.json").read_bytes())
    assert strange in open_checkpoint(tmp_path, "unet").weights


def test_overrides_replace_fields_and_unknown_ones_are_refused() -> None:
    path = WEIGHTS / "structure_unet"
    assert open_checkpoint(path, "unet", {"num_heads": [4, 4]}).config.num_heads == (4, 4)  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match=r"structure_unet: .*unknown key heads; known are in_channels"):
        open_checkpoint(path, "unet", {"heads": [4, 4]})
    with pytest.raises(ConfigurationError, match="num_heads is 3"):
        open_checkpoint(path, "unet", {"num_heads": [3, 3]})


def test_conventions_are_reported_and_the_scaling_factor_is_asked_for(tmp_path: Path) -> None:
    unet = save_sgm_safetensors(tmp_path / "unet.safetensors", released_values(WEIGHTS / "texture_unet", "unet"), "")
    assert open_checkpoint(unet, "unet").assumed == ("num_heads", "norm_groups")
    assert open_checkpoint(unet, "unet", {"num_heads": [2, 2]}).assumed == ("norm_groups",)
    vae = save_sgm_safetensors(tmp_path / "vae.safetensors", released_values(WEIGHTS / "vae", "vae"), "")
    with pytest.raises(ConfigurationError, match=r"scaling_factor .* \(0\.13025 for SDXL"):
        open_checkpoint(vae, "vae")


def test_words_need_their_config(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(WEIGHTS / "text_encoder", "words")
    assert isinstance(checkpoint.config, WordsConfig)
    assert checkpoint.config.words[:2] == ("<pad>", "red")
    assert checkpoint.weights["token_embedding"].type.shape == (15, 64)
    stored = load_file(WEIGHTS / "text_encoder" / "model.safetensors")
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"needs a config.json with words, context_length, width"):
        open_checkpoint(tmp_path, "words")


class Trap:
    """Would create a file if a checkpoint were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["model.ckpt", "zipped.ckpt", "pytorch_model.bin", "model.pt", "model.pth"])
def test_pickles_are_refused_unopened(name: str, tmp_path: Path) -> None:
    path, sprung = tmp_path / name, tmp_path / "sprung"
    content = pickle.dumps(Trap(sprung))
    if name.startswith("zipped"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        path.write_bytes(content)
    for target in (path, tmp_path):
        with pytest.raises(CheckpointError, match=r"pickle.*convert it to safetensors"):
            open_checkpoint(target, "unet")
    assert not sprung.exists()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        open_checkpoint(tmp_path / "nowhere", "unet")
    with pytest.raises(CheckpointError, match=r"no \.safetensors or \.ckpt file"):
        open_checkpoint(tmp_path, "unet")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"is no \.safetensors or \.ckpt file"):
        open_checkpoint(tmp_path / "notes.txt", "unet")
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"x": np.zeros(1, np.float32)}, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"several checkpoints \(a.safetensors, b.safetensors\)"):
        open_checkpoint(tmp_path, "unet")


@pytest.mark.parametrize("content", ["[]", "{", '"text"', "[" * 100_000, "\x00"])
def test_a_bad_config_is_an_error(content: str, tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "structure_unet", "unet")
    save_sgm_safetensors(tmp_path / "diffusion_pytorch_model.safetensors", values, "")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_checkpoint(tmp_path, "unet")


def test_a_config_of_another_model_is_refused(tmp_path: Path) -> None:
    values = released_values(WEIGHTS / "structure_unet", "unet")
    save_sgm_safetensors(tmp_path / "diffusion_pytorch_model.safetensors", values, "")
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel"}))
    with pytest.raises(ConfigurationError, match="ControlNetModel"):
        open_checkpoint(tmp_path, "unet")


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    content = (WEIGHTS / "structure_unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    path = tmp_path / "unet.safetensors"
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightError, match="fetch the file again"):
            open_checkpoint(path, "unet")
