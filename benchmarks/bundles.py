"""Bundles and inputs that benchmarks time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import numpy as np

from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Manifest, TensorSpec


def compile_bundle(recipe: Path, output: Path, *options: str) -> Bundle:
    """The bundle of a recipe, through the command line; it stops the program if that fails."""
    command = [sys.executable, "-m", "coopdraw.exporter", "compile", str(recipe), "-o", str(output), "--no-verify"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip())
    return Bundle.open(output, check=False)


def random_inputs(specs: tuple[TensorSpec, ...]) -> dict[str, np.ndarray]:
    """Standard normal numbers for every input."""
    generator = np.random.default_rng(0)
    return {spec.name: generator.standard_normal(spec.shape).astype(spec.dtype) for spec in specs}


def require_plain_loop(recipe: Path, manifest: Manifest) -> None:
    """Stops the program for what the loop on the host can't run."""
    if any(step.partners or step.transfers or len(step.branches) != 2 for step in manifest.steps):
        raise click.ClickException(f"{recipe} needs more than two experts guided by text; name such a recipe")
