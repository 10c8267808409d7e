"""What goes wrong while compiling: bad weights, a busy or full disk, a killed process. Nothing half-written stays."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from exporter.shapes import EXAMPLE, command, compiled, coopdraw, hashes, write_recipe

QUICK = ("--no-verify",)


def refused(*arguments: object, code: int = 2) -> str:
    """The one error line of a command that must fail."""
    done = coopdraw(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe with weights of its own, to damage."""
    shutil.copytree(EXAMPLE / "weights", tmp_path / "weights", copy_function=shutil.copyfile)
    return write_recipe(tmp_path, lambda text: text.replace("steps = 20", "steps = 4"))


def weights_of(recipe: Path, model: str) -> Path:
    return recipe.parent / "weights" / model / "diffusion_pytorch_model.safetensors"


def truncate(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def garble_header(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.seek(8)
        stream.write(b"!!!!")


@pytest.mark.parametrize("damage", [truncate, garble_header, lambda path: path.write_bytes(b"")])
def test_damaged_safetensors(recipe: Path, damage: Callable[[Path], object]) -> None:
    damage(weights_of(recipe, "texture_unet"))
    error = refused("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK)
    assert "texture_unet" in error
    assert not (recipe.parent / "x.bundle").exists()


def test_a_missing_weight_file(recipe: Path) -> None:
    weights_of(recipe, "vae").unlink()
    assert "vae" in refused("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK)


def test_a_checkpoint_of_another_architecture(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("weights/texture_unet", "weights/vae"))
    error = refused("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK)
    assert "weights/vae" in error


def test_an_unknown_key(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("steps = 4", "stepz = 4"))
    error = coopdraw("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK).stderr
    assert "pipeline.stepz" in error
    assert "pipeline.steps" in error


def test_an_image_size_that_the_models_cannot_make(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("[64, 64]", "[64, 68]"))
    error = refused("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK)
    assert "pipeline.image_size" in error


def test_the_output_is_being_written_by_another_process(recipe: Path) -> None:
    lock = os.open(recipe.parent / ".x.bundle.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another process" in refused("compile", recipe, "-o", recipe.parent / "x.bundle", *QUICK)
    finally:
        os.close(lock)
    compiled(recipe, recipe.parent / "x.bundle", *QUICK)


def test_an_output_folder_that_is_no_bundle_is_left_alone(recipe: Path) -> None:
    (recipe.parent / "x.bundle").mkdir()
    (recipe.parent / "x.bundle" / "thesis.txt").write_text("precious")
    refused("compile", recipe, "-o", recipe.parent / "x.bundle", "--force", *QUICK)
    assert (recipe.parent / "x.bundle" / "thesis.txt").read_text() == "precious"


def test_a_disk_that_refuses_leaves_the_old_bundle(recipe: Path) -> None:
    output = compiled(recipe, recipe.parent / "x.bundle", *QUICK)
    before = hashes(output)

    def small_files() -> None:
        # A file may not grow beyond 1 MB: the weights' file fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run(
        command("compile", recipe, "-o", output, "--force", *QUICK),
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
        timeout=300,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert hashes(output) == before
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["recipe.toml", "weights", "x.bundle"]


@pytest.mark.parametrize("existing", [False, True])
def test_kill_9_leaves_no_bundle_or_the_old_one_and_a_retry_works(recipe: Path, existing: bool) -> None:
    output = recipe.parent / "x.bundle"
    before = hashes(compiled(recipe, output, *QUICK)) if existing else {}
    partial = recipe.parent / ".x.bundle.partial"
    process = subprocess.Popen(
        command("compile", recipe, "-o", output, "--force"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (partial / "sampling.mindir").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists()
    assert (hashes(output) if output.exists() else {}) == before
    again = compiled(recipe, output, "--force", *QUICK)
    assert not partial.exists()
    assert before in ({}, hashes(again))


def test_a_run_killed_between_the_two_renames_is_undone(recipe: Path) -> None:
    output = compiled(recipe, recipe.parent / "x.bundle", *QUICK)
    before = hashes(output)
    output.rename(recipe.parent / ".x.bundle.replaced")
    recipe.write_text(recipe.read_text().replace("[64, 64]", "[64, 68]"))
    refused("compile", recipe, "-o", output, *QUICK)
    assert hashes(output) == before
