"""A user's own Cells in place of the built-in models, traced, compiled and verified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import coopdraw
from safetensors.numpy import save_file

CELLS = '''
from mindspore import mint, nn


class Denoiser(nn.Cell):
    """A third-party style network of `mindspore.mint` layers, which MindSpore has no CPU kernels for."""

    def __init__(self, width):
        super().__init__()
        self.first = mint.nn.Conv2d(4, width, 3, padding=1)
        self.time = mint.nn.Linear(1, width)
        self.text = mint.nn.Linear(6, width)
        self.last = mint.nn.Conv2d(width, 4, 3, padding=1)

    def construct(self, latent, timestep, context):
        hidden = self.first(latent)
        shift = self.time(mint.unsqueeze(timestep, 1) / 1000.0) + self.text(mint.mean(context, 1))
        return self.last(mint.nn.functional.silu(hidden + mint.unsqueeze(mint.unsqueeze(shift, -1), -1)))


class Decoder(nn.Cell):
    def __init__(self):
        super().__init__()
        self.out = nn.Conv2d(4, 3, 1, has_bias=True)

    def construct(self, latent):
        return mint.nn.functional.interpolate(self.out(latent), scale_factor=2.0, mode="nearest")


def denoiser(width):
    return Denoiser(width)


def decoder():
    return Decoder()


class Unguided(nn.Cell):
    """Ignores its conditions."""

    def __init__(self, width):
        super().__init__()
        self.only = nn.Conv2d(4, 4, 1, has_bias=True)

    def construct(self, latent, timestep, context):
        return self.only(latent)


def unguided(width):
    return Unguided(width)


def broken():
    raise ValueError("no such width")


def text():
    return "not a Cell"
'''
RECIPE = """\
[pipeline]
name = "custom"
image_size = [16, 16]
steps = 5
guidance = { text = 3.0 }
experts = { structure = "unet", texture = "unet" }
vae = "vae"
[models.unet]
kind = "unet"
weights = "unet.safetensors"
cell = "my_cells:denoiser"
config = { width = 8 }
inputs = { latent = [4, 8, 8], context = [3, 6] }
[models.vae]
kind = "vae"
weights = "vae.safetensors"
cell = "my_cells:decoder"
inputs = { latent = [4, 8, 8] }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "my_cells.py").write_text(CELLS)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    generator = np.random.default_rng(3)
    shapes = {
        "first.weight": (8, 4, 3, 3),
        "first.bias": (8,),
        "time.weight": (8, 1),
        "time.bias": (8,),
        "text.weight": (8, 6),
        "text.bias": (8,),
        "last.weight": (4, 8, 3, 3),
        "last.bias": (4,),
    }
    unet = {name: generator.standard_normal(shape, np.float32) * np.float32(0.2) for name, shape in shapes.items()}
    save_file(unet, tmp_path / "unet.safetensors")
    vae = {"out.weight": generator.standard_normal((3, 4, 1, 1), np.float32), "out.bias": np.zeros(3, np.float32)}
    save_file(vae, tmp_path / "vae.safetensors")
    return tmp_path / "recipe.toml"


def test_custom_cells_compile_and_verify(recipe: Path) -> None:
    bundle = recipe.parent / "x.bundle"
    done = coopdraw("compile", recipe, "-o", bundle, "--trust-code", cwd=recipe.parent)
    assert done.returncode == 0, done.stderr
    verification = json.loads((bundle / "manifest.json").read_text())["verification"]
    assert verification["passed"] is True
    assert set(verification["models"]) == {"unet.unet", "vae.decode"}
    alone = coopdraw("verify", bundle)
    assert alone.returncode == 2
    assert "--trust-code" in alone.stderr
    with_recipe = coopdraw("verify", bundle, "--recipe", recipe, "--trust-code")
    assert with_recipe.returncode == 0, with_recipe.stderr


def test_a_cell_without_kernels_is_compared_in_every_batch(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("steps = 5\n", "steps = 5\nguidance_steps = [1, 3]\n"))
    bundle = recipe.parent / "x.bundle"
    done = coopdraw("compile", recipe, "-o", bundle, "--trust-code", cwd=recipe.parent)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["verification"]["models"]["unet.unet"] == "traced Cell in NumPy"
    assert {"unet.unet", "unet.unet.text"} <= {function["name"] for function in manifest["functions"]}


def test_a_cell_that_ignores_its_conditions_has_no_inputs_for_them(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("my_cells:denoiser", "my_cells:unguided"))
    weights = {"only.weight": np.full((4, 4, 1, 1), 0.1, np.float32), "only.bias": np.zeros(4, np.float32)}
    save_file(weights, recipe.parent / "unet.safetensors")
    done = coopdraw("compile", recipe, "-o", recipe.parent / "x.bundle", "--trust-code")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((recipe.parent / "x.bundle" / "manifest.json").read_text())
    assert [spec["name"] for spec in manifest["inputs"]] == ["noise"]
    assert manifest["verification"]["models"]["unet.unet"] == "eager Cell"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("my_cells:denoiser", "my_cells:broken", "TypeError"),
        ("my_cells:decoder", "my_cells:text", "return an nn.Cell"),
        ("my_cells:decoder", "no_such_module:decoder", "ModuleNotFoundError"),
        ("context = [3, 6]", "context = [3, 7]", "unet.unet"),
        ("latent = [4, 8, 8], context", "latent = [4, 8, 16], context", "models.unet.inputs.latent"),
        ("width = 8", "width = 9", "first.weight"),
        ("image_size = [16, 16]", "image_size = [32, 16]", "pipeline.image_size"),
        ("steps = 5", "steps = 5\ncontext_length = 9", "pipeline.context_length"),
    ],
)
def test_what_does_not_fit_is_refused(recipe: Path, before: str, after: str, named: str) -> None:
    recipe.write_text(RECIPE.replace(before, after))
    (recipe.parent / "empty").mkdir()
    done = coopdraw(
        "compile", recipe, "-o", recipe.parent / "x.bundle", "--trust-code", "--no-verify", cwd=recipe.parent / "empty"
    )
    assert done.returncode == 2
    assert not list((recipe.parent / "empty").iterdir())
    assert "Traceback" not in done.stderr
    assert named in done.stderr.splitlines()[-1]
    assert not (recipe.parent / "x.bundle").exists()
