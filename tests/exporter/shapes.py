"""The demo pipeline for tests: its recipe with changes, compiled through the command line in a process of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shapes"
DATA = ROOT / "tests" / "data"


def example_text(name: str = "recipe") -> str:
    """An example's recipe without the fusions that it expects: with few steps only one of the experts is there."""
    before, mark, after = (EXAMPLE / f"{name}.toml").read_text().partition("[expect.fusions]")
    return before + after[after.index("[verify]") :] if mark else before


def write_recipe(folder: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    """The example's recipe in `folder`, its weights linked beside it; `change` edits the text."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "weights").exists():
        (folder / "weights").symlink_to(EXAMPLE / "weights")
    path = folder / "recipe.toml"
    path.write_text(change(example_text()))
    return path


def command(*arguments: object) -> list[str]:
    """The command line of `coopdraw`."""
    return [sys.executable, "-m", "coopdraw.exporter", *map(str, arguments)]


def coopdraw(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `coopdraw` to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, check=False, timeout=600)


def compiled(recipe: Path, output: Path, *options: str) -> Path:
    """Compiles and insists that it worked."""
    done = coopdraw("compile", recipe, "-o", output, *options)
    assert done.returncode == 0, done.stderr
    return output


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def folder_size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def golden(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and outputs of a golden file made by an independent PyTorch implementation."""
    with np.load(DATA / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    sides = {side: {k[len(side) :]: v for k, v in arrays.items() if k.startswith(side)} for side in ("in:", "out:")}
    return sides["in:"], sides["out:"]
