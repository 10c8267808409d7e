from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from exporter.lora.files import Factors, random_factors, structure_unet, tensor_names, write_lora
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.opening import open_lora
from coopdraw.exporter.lora.update import LoraUpdate
from coopdraw.graphs.errors import CoopdrawError, WeightError

QUERY = "input_blocks.3.1.transformer_blocks.0.attn1.to_q.weight"
CONVOLUTION = "input_blocks.1.0.in_layers.2.weight"
KOHYA_QUERY = "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q"
NAMING = "kohya, SGM blocks"
TEXT_ENCODER = {
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": np.ones((2, 8), np.float32),
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": np.ones((8, 2), np.float32),
    "text_encoder_2.text_model.encoder.layers.0.mlp.fc2.lora_A.weight": np.ones((2, 8), np.float32),
}


def opened(path: Path, ignore_text_encoder: bool = False) -> dict[str, LoraUpdate]:
    checkpoint = structure_unet()
    return open_lora(path, checkpoint.weights, checkpoint.config, "models.structure", ignore_text_encoder)


def good_lora(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a LoRA that fits."""
    factors = {name: random_factors(name, 4, 0, alpha=2.0) for name in (QUERY, CONVOLUTION)}
    return load_file(write_lora(folder / "good.safetensors", NAMING, factors))


def saved(folder: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    path = folder / "x.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)
    return path


def refusal(folder: Path, tensors: Mapping[str, np.ndarray]) -> str:
    """The message for a file with these tensors."""
    with pytest.raises(LoraError) as error:
        opened(saved(folder, tensors))
    return str(error.value)


def test_the_good_lora_opens(tmp_path: Path) -> None:
    updates = opened(saved(tmp_path, good_lora(tmp_path)))
    assert {name: (update.rank, update.alpha) for name, update in updates.items()} == {
        QUERY: (4, 2.0),
        CONVOLUTION: (4, 2.0),
    }


def test_text_encoder_parts_are_listed_with_the_fix(tmp_path: Path) -> None:
    message = refusal(tmp_path, good_lora(tmp_path) | TEXT_ENCODER)
    assert "lora_te1_text_model_encoder_layers_0_mlp_fc1," in message
    assert "text_encoder_2.text_model.encoder.layers.0.mlp.fc2)" in message
    assert "set ignore_text_encoder to merge only what it changes in the UNet" in message


def test_text_encoder_parts_can_be_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path, good_lora(tmp_path) | TEXT_ENCODER)
    assert set(opened(path, ignore_text_encoder=True)) == {QUERY, CONVOLUTION}


def test_a_lora_of_only_a_text_encoder_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="changes nothing in a UNet"):
        opened(saved(tmp_path, TEXT_ENCODER), ignore_text_encoder=True)


def test_unknown_modules_are_listed_once_each(tmp_path: Path) -> None:
    strange = {
        "lora_unet_input_blocks_9_1_proj_in.lora_down.weight": np.ones((1, 1), np.float32),
        "lora_unet_input_blocks_9_1_proj_in.lora_up.weight": np.ones((1, 1), np.float32),
        "unet.down_blocks.7.resnets.0.conv1.lora_A.weight": np.ones((1, 1), np.float32),
        "note": np.ones(1, np.float32),
    }
    message = refusal(tmp_path, good_lora(tmp_path) | strange)
    assert "does not fit models.structure: 3 unknown (" in message
    for name in ("lora_unet_input_blocks_9_1_proj_in", "unet.down_blocks.7.resnets.0.conv1", "note"):
        assert message.count(name) == 1
    assert "check that the LoRA was made for this UNet" in message


def test_a_norm_is_no_module_for_a_lora(tmp_path: Path) -> None:
    strange = {"out.0.lora_A.weight": np.ones((1, 32), np.float32), "out.0.lora_B.weight": np.ones((32, 1), np.float32)}
    assert "1 unknown (out.0)" in refusal(tmp_path, strange)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    message = refusal(tmp_path, {f"block.{i}.lora_a": np.ones((1, 1), np.float32) for i in range(50)})
    assert "50 unknown (" in message
    assert message.count("block.") == 20
    assert "and 30 more" in message


@pytest.mark.parametrize(("removed", "missing"), [("lora_up.weight", "up"), ("lora_down.weight", "down")])
def test_factors_without_their_counterpart(removed: str, missing: str, tmp_path: Path) -> None:
    tensors = good_lora(tmp_path)
    del tensors[f"{KOHYA_QUERY}.{removed}"]
    assert f"1 incomplete ({KOHYA_QUERY} has no {missing})" in refusal(tmp_path, tensors)


def test_an_alpha_alone_is_incomplete(tmp_path: Path) -> None:
    tensors = good_lora(tmp_path) | {f"{KOHYA_QUERY[:-1]}k.alpha": np.asarray(1.0, np.float32)}
    assert f"1 incomplete ({KOHYA_QUERY[:-1]}k has no down and up)" in refusal(tmp_path, tensors)


ONES = np.ones((64, 64), np.float32)


@pytest.mark.parametrize(
    ("parameter", "down", "up", "mid"),
    [
        pytest.param(QUERY, ONES[:4, :32], ONES[:, :4], None, id="other inputs"),
        pytest.param(QUERY, ONES[:4], ONES[:32, :4], None, id="other outputs"),
        pytest.param(QUERY, ONES[:4], ONES[:, :5], None, id="ranks differ"),
        pytest.param(QUERY, ONES[:0], ONES[:, :0], None, id="rank 0"),
        pytest.param(QUERY, ONES[:, :4], ONES[:4], None, id="transposed"),
        pytest.param(QUERY, ONES[0], ONES[:, 0], None, id="vectors"),
        pytest.param(QUERY, np.ones((4, 64, 3, 3), np.float32), ONES[:, :4], None, id="kernel for a linear layer"),
        pytest.param(QUERY, ONES[:4].reshape(4, 64, 1), ONES[:, :4], None, id="three axes"),
        pytest.param(CONVOLUTION, ONES[:4, :32], ONES[:32, :4], None, id="no kernel for a 3x3 convolution"),
        pytest.param(
            CONVOLUTION, np.ones((4, 32, 3, 3), np.float32), np.ones((32, 4, 3, 3), np.float32), None, id="two kernels"
        ),
        pytest.param(
            CONVOLUTION, ONES[:4, :32], ONES[:32, :4], np.ones((4, 5, 3, 3), np.float32), id="rank of the middle"
        ),
        pytest.param(
            CONVOLUTION,
            np.ones((4, 32, 3, 3), np.float32),
            ONES[:32, :4],
            np.ones((4, 4, 3, 3), np.float32),
            id="middle and a kernel before it",
        ),
    ],
)
def test_factors_that_make_no_change_of_the_weights_shape(
    parameter: str, down: np.ndarray, up: np.ndarray, mid: np.ndarray | None, tmp_path: Path
) -> None:
    names = tensor_names(NAMING, [parameter])
    parts = Factors(down, up, mid).roles()
    message = refusal(tmp_path, {names[parameter, role]: array for role, array in parts.items()})
    module = f"lora_unet_{parameter.removesuffix('.weight').replace('.', '_')}"
    shape = list(structure_unet().weights[parameter].type.shape)
    assert f"1 misshapen ({module} has " in message
    assert f"down {list(down.shape)}" in message
    assert f"for a weight {shape}" in message


@pytest.mark.parametrize("alpha", [np.nan, np.inf, 0.0, np.ones(3)])
def test_an_alpha_must_be_a_finite_number(alpha: object, tmp_path: Path) -> None:
    message = refusal(tmp_path, good_lora(tmp_path) | {f"{KOHYA_QUERY}.alpha": np.asarray(alpha, np.float32)})
    assert f"1 with an alpha that is no finite number or is 0 ({KOHYA_QUERY} " in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    tensors = good_lora(tmp_path)
    tensors[f"{KOHYA_QUERY}.alpha"] = np.asarray(np.inf, np.float32)
    tensors["lora_unet_out_2.lora_up.weight"] = np.ones((4, 2), np.float32)
    tensors["strange.lora_a"] = np.ones((4, 2), np.float32)
    message = refusal(tmp_path, tensors)
    assert all(part in message for part in ("1 unknown", "1 incomplete", "1 with an alpha"))


def test_two_tensors_for_one_parameter_are_refused(tmp_path: Path) -> None:
    again = {"unet.down_blocks.0.resnets.0.conv1.lora_A.weight": np.ones((4, 32, 3, 3), np.float32)}
    message = refusal(tmp_path, good_lora(tmp_path) | again)
    assert f"two down tensors for {CONVOLUTION}" in message


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (f"{KOHYA_QUERY}.dora_scale", "DoRA"),
        ("unet.conv_in.lora_magnitude_vector", "DoRA"),
        ("unet.conv_in.lora_magnitude_vector.default.weight", "DoRA"),
        (f"{KOHYA_QUERY}.hada_w1_a", "LoHa"),
        (f"{KOHYA_QUERY}.lokr_w2", "LoKr"),
        ("oft_unet_conv_in.oft_blocks", "OFT"),
        (f"{KOHYA_QUERY}.on_input", r"(IA)^3"),
        (f"{KOHYA_QUERY}.diff", "full difference"),
        ("lora_unet_out_0.w_norm", "full difference"),
    ],
)
def test_other_methods_are_refused_by_name(name: str, method: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, good_lora(tmp_path) | {name: np.ones((4, 1), np.float32)})
    assert f"no plain LoRA or LoCon but a {method} (tensor {name})" in message


def test_quantised_factors_are_refused(tmp_path: Path) -> None:
    tensors = good_lora(tmp_path) | {f"{KOHYA_QUERY}.lora_up.weight": np.ones((64, 4), np.int8)}
    with pytest.raises(CheckpointError, match="quantised"):
        opened(saved(tmp_path, tensors))


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x.ckpt"])
def test_pickles_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04archive")
    with pytest.raises(CheckpointError, match="pickle"):
        opened(path)


def test_files_that_are_not_there_or_not_one_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        opened(tmp_path / "none.safetensors")
    (tmp_path / "shards.safetensors.index.json").write_text("{}")
    for path in (tmp_path, tmp_path / "shards.safetensors.index.json"):
        with pytest.raises(LoraError, match="name a single"):
            opened(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, good_lora(tmp_path))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightError, match="fetch the file again"):
        opened(path)


@settings(max_examples=80)
@given(data=st.data())
def test_any_names_and_shapes_give_an_update_or_an_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    modules = st.sampled_from([KOHYA_QUERY, "unet.conv_in", "out.2", "", "lora_te_x", "unet.", "a.lora_down"])
    ends = st.sampled_from([".lora_down.weight", ".lora_up.weight", ".lora_A", ".lora_B", ".lora_mid", ".alpha", ".x"])
    shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
    tensors = data.draw(st.dictionaries(st.tuples(modules, ends).map("".join), shapes, max_size=6))
    path = saved(tmp_path_factory.mktemp("x"), {name: np.ones(shape, np.float32) for name, shape in tensors.items()})
    try:
        updates = opened(path, data.draw(st.booleans()))
    except CoopdrawError:
        return
    assert updates
