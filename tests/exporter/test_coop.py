"""Coop-Diffusion pipelines against the goldens of an independent PyTorch implementation, and their properties."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import EXAMPLE, compiled, coopdraw, folder_size, golden, write_recipe

from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.graphs.mindir.reader import read_mindir

# float32 in another order of summation; the VAEs of a transfer make 1e-6 of the latent's range to about 1e-5.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0
GOLDENS = {"coop": "coop_latent", "edges": "coop_latent_controlnet", "resolution": "coop_resolution"}
PARTNER = """
[models.partner]
kind = "unet"
weights = "weights/partner_unet"
vae = "partner_vae"
[models.partner_vae]
kind = "vae"
weights = "weights/partner_vae"
[[coop]]
bridge = "latent"
with = "partner"
"""


def run(bundle: Path, inputs: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Outputs of a bundle for tensors, through the command line."""
    np.savez(folder / "in.npz", **inputs)
    done = coopdraw("run", bundle, "--inputs", folder / "in.npz", "--outputs", folder / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as outputs:
        return {name: outputs[name] for name in outputs.files}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("coop")
    return {name: compiled(EXAMPLE / f"{name}.toml", folder / f"{name}.bundle", "--no-verify") for name in GOLDENS}


@pytest.mark.parametrize("name", GOLDENS)
def test_the_golden(name: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    inputs, outputs = golden(GOLDENS[name])
    found = run(bundles[name], inputs, tmp_path)
    assert range_error(found["latent"], outputs["latent"]) <= LATENT_ERROR
    assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR


@pytest.mark.parametrize("name", GOLDENS)
def test_each_network_is_in_the_file_once(name: str, bundles: dict[str, Path]) -> None:
    bundle = bundles[name]
    module = read_mindir(bundle / "sampling.mindir")
    distinct = {weight.sha256(): weight.type.nbytes for weight in module.weights.values()}
    graph = (bundle / "sampling.mindir").stat().st_size
    assert folder_size(bundle / "sampling_variables") + graph <= 1.02 * (sum(distinct.values()) + graph)
    assert len(module.functions) == len({name.lower() for name in module.functions})


def test_the_plan_says_who_acts(bundles: dict[str, Path]) -> None:
    steps = json.loads((bundles["edges"] / "manifest.json").read_text())["steps"]
    assert [bool(step["partners"]) for step in steps] == [True] * 12 + [False] * 8
    assert steps[0]["adapters"] == ["edges"]
    assert steps[0]["transfers"] == ["bridge.partner_to_main"]
    resolution = json.loads((bundles["resolution"] / "manifest.json").read_text())["steps"]
    assert [step["model"] for step in resolution].count("lowres") == 12
    assert [step["transfers"] for step in resolution if step["transfers"]] == [["bridge.lowres_to_main"]]


def short(extra: str = "", steps: int = 3) -> Callable[[str], str]:
    """The example's recipe with few steps and more tables."""
    return lambda text: text.replace("steps = 20", f"steps = {steps}") + extra


@pytest.mark.parametrize("extra", ["strength = 0.0\n", "strength = 0.7\nsteps = [1, 1]\n"])
def test_a_partner_that_changes_nothing_is_not_in_the_file(extra: str, tmp_path: Path) -> None:
    alone = compiled(write_recipe(tmp_path / "alone", short()), tmp_path / "alone.bundle", "--no-verify")
    recipe = write_recipe(tmp_path / "with", short(PARTNER + extra))
    both = compiled(recipe, tmp_path / "with.bundle", "--no-verify")
    for file in ("sampling.mindir", "sampling_variables/data_0"):
        assert (both / file).read_bytes() == (alone / file).read_bytes()


@pytest.mark.parametrize(
    "extra",
    [
        "strength = 0.4\nsteps = [1, 3]\n",
        "feedback = false\nshare_noise = false\n",
        pytest.param("feedback = false\n", marks=pytest.mark.slow),
        pytest.param("steps = [0, 1]\n", marks=pytest.mark.slow),
    ],
)
def test_late_entry_and_own_noise_match_the_host_loop(extra: str, tmp_path: Path) -> None:
    compiled(write_recipe(tmp_path, short(PARTNER + extra)), tmp_path / "x.bundle")


@pytest.mark.slow
def test_a_chain_of_resolutions_with_a_partner_matches_the_host_loop(tmp_path: Path) -> None:
    chain = """
[models.lowres]
kind = "unet"
weights = "weights/lowres_unet"
vae = "lowres_vae"
image_size = [32, 32]
[models.lowres_vae]
kind = "vae"
weights = "weights/lowres_vae"
[models.middle]
kind = "unet"
weights = "weights/partner_unet"
vae = "partner_vae"
[[coop]]
bridge = "resolution"
from = "middle"
at = 300
name = "second"
[[coop]]
bridge = "resolution"
from = "lowres"
at = 700
name = "first"
upsample = "bicubic"
"""
    bridge = PARTNER.replace('vae = "partner_vae"', 'vae = "partner_vae"', 1) + "strength = 0.3\nsteps = [1, 4]\n"
    bundle = compiled(write_recipe(tmp_path, short(chain + bridge, steps=6)), tmp_path / "x.bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    noises = [spec["name"] for spec in manifest["inputs"] if spec["name"].endswith("noise")]
    assert noises == ["lowres.noise", "partner.noise", "first.noise", "second.noise"]
    assert [step["model"] for step in manifest["steps"]] == [
        "lowres",
        "lowres",
        "middle",
        "middle",
        "middle",
        "texture",
    ]


def test_prompts_feed_the_partner_and_the_low_resolution_model(bundles: dict[str, Path], tmp_path: Path) -> None:
    for name in ("coop", "resolution"):
        done = coopdraw("run", bundles[name], "--prompt", "red ring striped blue", "-o", tmp_path / f"{name}.png")
        assert done.returncode == 0, done.stderr


def test_a_missing_control_picture_is_named(bundles: dict[str, Path], tmp_path: Path) -> None:
    inputs, _ = golden("coop_latent_controlnet")
    del inputs["edges.image"]
    np.savez(tmp_path / "in.npz", **inputs)
    done = coopdraw("run", bundles["edges"], "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.returncode == 2
    assert "edges.image" in done.stderr


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (PARTNER + "strength = 1.5\n", "coop.0.strength"),
        (PARTNER + "steps = [0, 9]\n", "coop.0.steps"),
        (PARTNER + "steps = [2, 1]\n", "coop.0.steps"),
        (PARTNER.replace('with = "partner"', 'with = "structure"'), "feed each other"),
        (PARTNER.replace('bridge = "latent"', 'bridge = "magic"'), "coop.0.bridge"),
        (PARTNER + "wiht = 1\n", "coop.0.wiht"),
        (
            PARTNER.replace('with = "partner"', 'from = "partner"\nat = 3').replace('"latent"', '"resolution"'),
            "coop.0.at",
        ),
        (PARTNER.replace('vae = "partner_vae"', 'vae = "partner_vae"\nimage_size = [30, 30]'), "image_size"),
    ],
)
def test_nonsense_is_refused(extra: str, named: str, tmp_path: Path) -> None:
    done = coopdraw("compile", write_recipe(tmp_path, short(extra)), "-o", tmp_path / "x.bundle", "--no-verify")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert named in done.stderr
