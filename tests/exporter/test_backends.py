"""The goldens through the backends lite and onnx, as users run them; other tests run them with MindSpore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import EXAMPLE, compiled, coopdraw, folder_size, golden

from coopdraw.exporter.parity import image_psnr, range_error

GOLDENS = {
    "recipe": "time_decoupled",
    "coop": "coop_latent",
    "edges": "coop_latent_controlnet",
    "resolution": "coop_resolution",
}
# float32 sums in another order, and other approximations of exp and erf: below 1e-5 of the range in every backend.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("backends")
    return {name: compiled(EXAMPLE / f"{name}.toml", folder / f"{name}.bundle", "--no-verify") for name in GOLDENS}


@pytest.mark.parametrize("name", GOLDENS)
@pytest.mark.parametrize("backend", ["lite", "onnx"])
def test_the_golden(backend: str, name: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    inputs, outputs = golden(GOLDENS[name])
    np.savez(tmp_path / "in.npz", **inputs)
    files = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    done = coopdraw("run", bundles[name], *files, "--backend", backend)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == {"image", "latent"}
        assert range_error(found["latent"], outputs["latent"]) <= LATENT_ERROR
        assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR


@pytest.mark.parametrize("backend", ["lite", "onnx"])
def test_a_caption_draws_the_same_picture(backend: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    pictures = []
    for each in ("mindspore", backend):
        path = tmp_path / f"{each}.png"
        done = coopdraw("run", bundles["recipe"], "--prompt", "red ring striped blue", "-o", path, "--backend", each)
        assert done.returncode == 0, done.stderr
        pictures.append(_pixels(path))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1, "rounding to 8 bits may fall to either side"


def test_weights_are_on_the_disk_once(bundles: dict[str, Path]) -> None:
    """The forms use the bundle's files of weights: their own files are graphs only."""
    bundle = bundles["recipe"]
    weights = folder_size(bundle / "sampling_variables")
    for form in (folder_size(bundle / "lite"), (bundle / "sampling.onnx").stat().st_size):
        assert form < 0.15 * weights


def test_a_copied_bundle_runs_everywhere(bundles: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundles["recipe"], tmp_path / "a copy: of it.bundle"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
    inputs, outputs = golden("time_decoupled")
    np.savez(tmp_path / "in.npz", **inputs)
    for backend in ("lite", "onnx"):
        files = ("--inputs", tmp_path / "in.npz", "--outputs", tmp_path / f"{backend}.npz")
        done = coopdraw("run", copy, *files, "--backend", backend)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / f"{backend}.npz") as found:
            assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR


def _pixels(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path), np.int32)
