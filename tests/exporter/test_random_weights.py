"""Models without checkpoints: what their weights are, and a whole compile with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import compiled, coopdraw

from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.exporter.random_weights import RandomWeight, open_random
from coopdraw.graphs.types import DType, TensorType

UNET = """\
kind = "unet"
weights = "random"
[models.{name}.config]
in_channels = 4
out_channels = 4
model_channels = 32
channel_mult = [1, 2]
num_res_blocks = 1
transformer_depth = [0, 1]
middle_transformer_depth = 1
num_heads = [1, 2]
context_dim = 24
vector_dim = 16
use_linear_projection = true
"""
RECIPE = f"""\
[pipeline]
name = "random"
image_size = [32, 16]
steps = 4
guidance = {{ text = 3.0 }}
experts = {{ structure = "structure", texture = "texture" }}
vae = "vae"
context_length = 5
[models.structure]
{UNET.format(name="structure")}
[models.texture]
{UNET.format(name="texture")}
[models.vae]
kind = "vae"
weights = "random"
[models.vae.config]
in_channels = 3
out_channels = 3
latent_channels = 4
channels = 32
channel_mult = [1, 2]
num_res_blocks = 1
scaling_factor = 0.5
"""
AUTOENCODER = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "channels": 32,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "scaling_factor": 0.5,
}


def test_a_weight_depends_on_its_name_only() -> None:
    type = TensorType(DType.FLOAT32, (64, 16, 3, 3))
    first = RandomWeight("a.weight", type).read()
    np.testing.assert_array_equal(RandomWeight("a.weight", type).read(), first)
    assert not np.array_equal(RandomWeight("b.weight", type).read(), first)
    assert TensorType.of(first) == type


def test_matrices_keep_the_scale_and_norms_are_near_one() -> None:
    matrix = RandomWeight("a.weight", TensorType(DType.FLOAT32, (256, 400))).read()
    # 1/sqrt(400); the spread of 100000 numbers is known to much better than 2 %.
    assert matrix.std() == pytest.approx(0.05, rel=0.02)
    gamma = RandomWeight("norm.gamma", TensorType(DType.FLOAT32, (512,))).read()
    assert gamma.mean() == pytest.approx(1.0, abs=0.01)  # 0.02 / sqrt(512) is 0.001
    assert abs(RandomWeight("conv.bias", TensorType(DType.FLOAT32, (512,))).read()).max() < 0.2


def test_two_models_of_one_configuration_have_different_weights() -> None:
    first, second = (open_random(name, "vae", AUTOENCODER).weights for name in ("a", "b"))
    assert first.keys() == second.keys()
    name = "decoder.conv_in.weight"
    assert not np.array_equal(first[name].read(), second[name].read())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: AUTOENCODER[key] for key in list(AUTOENCODER)[:-1]}, "nothing says scaling_factor of the vae; give"),
        (AUTOENCODER | {"depth": 3}, "unknown key depth"),
        (AUTOENCODER | {"channels": 0}, "channels is 0; give a positive integer"),
    ],
)
def test_what_a_configuration_must_say(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_random("vae", "vae", config)


def test_a_pipeline_without_checkpoints_is_compiled_and_verified(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    bundle = compiled(tmp_path / "recipe.toml", tmp_path / "random.bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["verification"]["passed"] is True
    assert {"structure.out.2.weight", "texture.out.2.weight"} <= manifest["weights"].keys()


def test_random_weights_need_a_configuration(tmp_path: Path) -> None:
    head, _, _ = RECIPE.rpartition("[models.vae.config]")
    (tmp_path / "recipe.toml").write_text(head)
    done = coopdraw("compile", tmp_path / "recipe.toml", "-o", tmp_path / "x.bundle")
    assert done.returncode == 2
    assert 'models.vae.weights is "random", which needs the architecture in models.vae.config' in done.stderr
