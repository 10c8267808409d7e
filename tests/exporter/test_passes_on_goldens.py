"""The goldens hold with all passes, with only the basic ones, with none, and with each pass left out alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import EXAMPLE, golden

from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.bundle_kernels import put_kernels
from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import Level, pass_names, passes
from coopdraw.runtime.backends.mindspore import open_backend

# float32 in another order of summation; the VAEs of a transfer make 1e-6 of the latent's range to about 1e-5.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0
GOLDENS = {
    "recipe": "time_decoupled",
    "coop": "coop_latent",
    "edges": "coop_latent_controlnet",
    "resolution": "coop_resolution",
}


@pytest.fixture(scope="module")
def traced() -> dict[str, Module]:
    """The programs before any pass, each traced when it is first asked for."""

    class Programs(dict[str, Module]):
        def __missing__(self, name: str) -> Module:
            recipe = load_recipe(EXAMPLE / f"{name}.toml")
            pipeline = load_pipeline(recipe, CheckpointSource(recipe))
            self[name] = trace_program(recipe, pipeline, Progress())
            return self[name]

    return Programs()


def check(name: str, module: Module, folder: Path) -> None:
    """Written with its kernels, run by MindSpore, compared with the golden."""
    write_mindir(module, folder / "sampling.mindir", put_kernels(folder, module, True))
    inputs, outputs = golden(GOLDENS[name])
    results = open_backend(None)(folder / "sampling.mindir")([inputs[value.name] for value in module.entry.inputs])
    found: dict[str, np.ndarray] = dict(zip(module.entry.output_names, results, strict=True))
    assert range_error(found["latent"], outputs["latent"]) <= LATENT_ERROR
    assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR


@pytest.mark.parametrize("level", ["none", "basic", "full"])
def test_the_golden_holds_at_every_level(level: Level, traced: dict[str, Module], tmp_path: Path) -> None:
    module, _ = PassManager(passes(level)).run(traced["recipe"])
    check("recipe", module, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDENS)
@pytest.mark.parametrize("disabled", pass_names())
def test_the_golden_holds_without_one_pass(disabled: str, name: str, traced: dict[str, Module], tmp_path: Path) -> None:
    module, _ = PassManager(passes("full", [disabled])).run(traced[name])
    check(name, module, tmp_path)
