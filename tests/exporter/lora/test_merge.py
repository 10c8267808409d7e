from __future__ import annotations

import hashlib
import math
import tempfile
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from exporter.checkpoints.synthetic import save_mindspore_ckpt
from exporter.lora.files import (
    NAMINGS,
    Factors,
    assert_merged,
    diffusers_names,
    is_projection,
    random_factors,
    structure_unet,
    tensor_names,
    write_lora,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from coopdraw.exporter.checkpoints.safetensors import open_safetensors
from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.merge import LoraReport, MergedWeight, lora_report, merge_lora
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight

QUERY = "input_blocks.3.1.transformer_blocks.0.attn1.to_q.weight"
OUTPUT = "middle_block.1.transformer_blocks.0.attn2.to_out.0.weight"
FEED_FORWARD = "output_blocks.0.1.transformer_blocks.0.ff.net.0.proj.weight"
CONVOLUTION = "input_blocks.1.0.in_layers.2.weight"
POINTWISE = "input_blocks.3.0.skip_connection.weight"
PARAMETERS = sorted(diffusers_names())
PROJECTIONS = [parameter for parameter in PARAMETERS if is_projection(parameter)]


def merged(path: Path, scale: float = 1.0, weights: dict[str, Weight] | None = None) -> dict[str, Weight]:
    checkpoint = structure_unet()
    return merge_lora(weights or checkpoint.weights, path, scale, checkpoint.config, "models.structure")


def base(parameter: str) -> np.ndarray:
    return np.array(structure_unet().weights[parameter].read())


def assert_changes_only(weights: dict[str, Weight], factors: dict[str, Factors], scale: float) -> None:
    assert list(weights) == list(structure_unet().weights)
    for name, weight in weights.items():
        if name in factors:
            assert weight.type == structure_unet().weights[name].type
            assert_merged(weight.read(), base(name), (factors[name], scale))
        else:
            assert weight is structure_unet().weights[name]


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_merges_into_the_same_parameters(naming: str, tmp_path: Path) -> None:
    parameters = [QUERY, OUTPUT] if "processor" in naming else [QUERY, OUTPUT, FEED_FORWARD, CONVOLUTION, POINTWISE]
    factors = {name: random_factors(name, 4, seed, alpha=2.0) for seed, name in enumerate(parameters)}
    assert_changes_only(merged(write_lora(tmp_path / "x.safetensors", naming, factors), 0.8), factors, 0.8)


@settings(max_examples=60)
@given(data=st.data(), naming=st.sampled_from(sorted(NAMINGS)))
def test_any_modules_in_any_naming(data: st.DataObject, naming: str) -> None:
    candidates = PROJECTIONS if "processor" in naming else PARAMETERS
    parameters = data.draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=12, unique=True))
    factors = {
        name: random_factors(
            name,
            data.draw(st.integers(1, 9)),
            seed,
            data.draw(st.none() | st.sampled_from([0.5, 1.0, -3.0, 16.0])),
            tucker=len(structure_unet().weights[name].type.shape) == 4
            and "kohya" in naming
            and data.draw(st.booleans()),
        )
        for seed, name in enumerate(parameters)
    }
    scale = data.draw(st.sampled_from([-1.0, 0.3, 1.0, 2.5]))
    with tempfile.TemporaryDirectory() as folder:
        path = write_lora(Path(folder) / "x.safetensors", naming, factors)
        assert_changes_only(merged(path, scale), factors, scale)


@pytest.mark.parametrize("parameter", [CONVOLUTION, POINTWISE])
def test_locon_with_a_middle_convolution(parameter: str, tmp_path: Path) -> None:
    factors = {parameter: random_factors(parameter, 6, 0, alpha=3.0, tucker=True)}
    assert factors[parameter].mid is not None
    path = write_lora(tmp_path / "x.safetensors", "kohya, SGM blocks", factors)
    assert_changes_only(merged(path), factors, 1.0)


def test_linear_layers_and_pointwise_convolutions_are_the_same(tmp_path: Path) -> None:
    flat, deep = random_factors(POINTWISE, 4, 0), random_factors(QUERY, 4, 1)
    factors = {
        POINTWISE: Factors(flat.down[:, :, 0, 0], flat.up[:, :, 0, 0]),
        QUERY: Factors(deep.down[:, :, None, None], deep.up[:, :, None, None]),
    }
    path = write_lora(tmp_path / "x.safetensors", "kohya, diffusers blocks", factors)
    assert_changes_only(merged(path), {POINTWISE: flat, QUERY: deep}, 1.0)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_factors_of_other_precisions_are_widened(dtype: type, tmp_path: Path) -> None:
    drawn = random_factors(QUERY, 4, 0, alpha=3.0)
    narrow = Factors(drawn.down.astype(dtype), drawn.up.astype(dtype), alpha=3.0)
    names = tensor_names("kohya, SGM blocks", [QUERY])
    tensors = {names[QUERY, "down"]: narrow.down, names[QUERY, "up"]: narrow.up}
    path = tmp_path / "x.safetensors"
    save_file(tensors | {names[QUERY, "alpha"]: np.asarray([3.0], dtype)}, path)
    # In float32, as the merge reads them: rounding float64 factors is part of reading, not of the bound.
    widened = Factors(narrow.down.astype(np.float32), narrow.up.astype(np.float32), alpha=3.0)
    assert_changes_only(merged(path), {QUERY: widened}, 1.0)


def test_alpha_may_be_an_integer(tmp_path: Path) -> None:
    factors = random_factors(QUERY, 4, 0, alpha=8.0)
    names = tensor_names("kohya, SGM blocks", [QUERY])
    tensors = {names[QUERY, "down"]: factors.down, names[QUERY, "up"]: factors.up}
    path = tmp_path / "x.safetensors"
    save_file(tensors | {names[QUERY, "alpha"]: np.asarray(8, np.int64)}, path)
    assert_changes_only(merged(path), {QUERY: factors}, 1.0)


@pytest.mark.parametrize("naming", ["mindone SD", "mindone SDXL", "mindpet"])
def test_mindspore_checkpoints(naming: str, tmp_path: Path) -> None:
    factors = {name: random_factors(name, 4, seed) for seed, name in enumerate([QUERY, OUTPUT])}
    names = tensor_names(naming, factors)
    values = {names[name, role]: array for name, part in factors.items() for role, array in part.roles().items()}
    path = save_mindspore_ckpt(tmp_path / "x.ckpt", values)
    assert_changes_only(merged(path, 0.5), factors, 0.5)


def test_scale_zero_gives_the_weights_themselves(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: random_factors(QUERY, 4, 0)})
    weights = merged(path, 0.0)
    assert list(weights) == list(structure_unet().weights)
    assert all(weight is structure_unet().weights[name] for name, weight in weights.items())


def test_two_loras_add_up_in_any_order(tmp_path: Path) -> None:
    first = {name: random_factors(name, 4, seed) for seed, name in enumerate([QUERY, CONVOLUTION])}
    second = {name: random_factors(name, 2, seed + 9, alpha=5.0) for seed, name in enumerate([CONVOLUTION, OUTPUT])}
    a = write_lora(tmp_path / "a.safetensors", "PEFT", first)
    b = write_lora(tmp_path / "b.safetensors", "kohya, SGM blocks", second)
    for weights in (merged(b, -0.4, merged(a, 0.7)), merged(a, 0.7, merged(b, -0.4))):
        assert_merged(weights[QUERY].read(), base(QUERY), (first[QUERY], 0.7))
        assert_merged(weights[OUTPUT].read(), base(OUTPUT), (second[OUTPUT], -0.4))
        assert_merged(
            weights[CONVOLUTION].read(), base(CONVOLUTION), (first[CONVOLUTION], 0.7), (second[CONVOLUTION], -0.4)
        )


def test_a_merged_weight_is_an_ordinary_weight(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: random_factors(QUERY, 4, 0)})
    weight = merged(path)[QUERY]
    assert isinstance(weight, MergedWeight)
    values = weight.read()
    assert TensorType.of(values) == weight.type
    np.testing.assert_array_equal(weight.read(), values, strict=True)
    assert weight.sha256() == hashlib.sha256(values.tobytes()).hexdigest()


def test_half_precision_weights_stay_half_precision(tmp_path: Path) -> None:
    factors = random_factors(QUERY, 4, 0)
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: factors})
    half = base(QUERY).astype(np.float16)
    found = merged(path, weights={QUERY: ArrayWeight(half)})[QUERY]
    wanted = half + factors.up.astype(np.float64) @ factors.down.astype(np.float64)
    assert found.type == TensorType.of(half)
    # Computed in float32 and rounded to float16 once: half a unit in the last place, and what float32 leaves.
    assert np.all(np.abs(found.read() - wanted) <= np.abs(wanted) * 2.0**-11 + 1e-6)
    assert found.read().dtype == np.float16


class _Unreadable(Weight):
    """A weight of some type that must not be read."""

    def __init__(self, type: TensorType) -> None:
        self.type = type

    def read(self) -> np.ndarray:
        raise AssertionError("was read")


def test_merging_reads_nothing_but_alphas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factors = {name: random_factors(name, 4, seed, alpha=1.0) for seed, name in enumerate([QUERY, CONVOLUTION, OUTPUT])}
    path = write_lora(tmp_path / "x.safetensors", "kohya, SGM blocks", factors)
    read: list[TensorType] = []
    original = FileWeight.read
    monkeypatch.setattr(FileWeight, "read", lambda self: (read.append(self.type), original(self))[1])
    types = {name: weight.type for name, weight in structure_unet().weights.items()}
    weights = merged(path, weights={name: _Unreadable(type) for name, type in types.items()})
    assert [type.size for type in read] == [1] * len(factors)
    read.clear()
    weights = merged(path)
    read.clear()
    weights[CONVOLUTION].read()
    # Its own down, up and base.
    assert sorted(type.size for type in read) == [4 * 32, 4 * 32 * 9, 32 * 32 * 9]


def test_reading_takes_the_memory_of_one_tensor(tmp_path: Path) -> None:
    extent, random = 1024, np.random.default_rng(0)
    save_file({"base": random.standard_normal((extent, extent), np.float32)}, tmp_path / "base.safetensors")
    factors = {"out.2.lora_a": np.ones((4, extent), np.float32), "out.2.lora_b": np.ones((extent, 4), np.float32)}
    save_file(factors, tmp_path / "x.safetensors")
    weights: dict[str, Weight] = {"out.2.weight": open_safetensors(tmp_path / "base.safetensors")["base"]}
    found = merged(tmp_path / "x.safetensors", weights=weights)["out.2.weight"]
    tracemalloc.start()
    values = found.read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The result, a quarter of that for the check that it is finite, and small factors; the base is mapped.
    assert peak < 1.5 * values.nbytes


def test_values_that_are_not_finite_are_refused_when_read(tmp_path: Path) -> None:
    factors = random_factors(QUERY, 4, 0)
    factors.up[3, 1] = np.nan
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: factors, OUTPUT: random_factors(OUTPUT, 4, 1)})
    weights = merged(path)
    weights[OUTPUT].read()
    with pytest.raises(LoraError, match=r"x\.safetensors: what unet\.down_blocks\.1\..*to_q adds .* is not finite"):
        weights[QUERY].read()


def test_a_scale_that_overflows_is_refused_when_read(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: random_factors(QUERY, 4, 0)})
    with pytest.raises(LoraError, match="not finite"):
        merged(path, 1e39)[QUERY].read()


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf])
def test_the_scale_must_be_finite(scale: float, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "x.safetensors", "PEFT", {QUERY: random_factors(QUERY, 4, 0)})
    with pytest.raises(LoraError, match=r"the scale of .*x\.safetensors for models\.structure is .*; give a finite"):
        merged(path, scale)


def test_report(tmp_path: Path) -> None:
    factors = {name: random_factors(name, rank, 0) for name, rank in [(QUERY, 4), (OUTPUT, 16), (CONVOLUTION, 8)]}
    path = write_lora(tmp_path / "style.safetensors", "PEFT", factors)
    checkpoint = structure_unet()
    found = lora_report(checkpoint.weights, path, 0.7, checkpoint.config, "models.structure")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == LoraReport("style.safetensors", digest, 0.7, modules=3, lowest_rank=4, highest_rank=16)
