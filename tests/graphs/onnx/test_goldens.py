"""The demo programs as ONNX, run by ONNX Runtime, against an independent PyTorch implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from exporter.shapes import EXAMPLE, golden
from graphs.onnx.running import operators_of, run, written

from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.graphs.ir import Module
from coopdraw.graphs.onnx.form import ONNXRUNTIME, PORTABLE, OnnxForm
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import full_passes

# float32 in another order of summation; the VAEs of a transfer make 1e-6 of the latent's range to about 1e-5.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0
GOLDENS = {
    "recipe": "time_decoupled",
    "coop": "coop_latent",
    "edges": "coop_latent_controlnet",
    "resolution": "coop_resolution",
}


def program(name: str) -> Module:
    recipe = load_recipe(EXAMPLE / f"{name}.toml")
    module = trace_program(recipe, load_pipeline(recipe, CheckpointSource(recipe)), Progress())
    return PassManager(full_passes()).run(module)[0]


def check(module: Module, name: str, folder: Path, form: OnnxForm) -> Path:
    path = written(module, folder, form)
    inputs, outputs = golden(name)
    found = run(path, {value.name: inputs[value.name] for value in module.entry.inputs})
    assert range_error(found["latent"], outputs["latent"]) <= LATENT_ERROR
    assert image_psnr(found["image"], outputs["image"]) >= IMAGE_PSNR
    assert np.isfinite(found["image"]).all()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("form", [PORTABLE, ONNXRUNTIME], ids=["portable", "onnxruntime"])
@pytest.mark.parametrize("name", GOLDENS)
def test_golden(name: str, form: OnnxForm, tmp_path: Path) -> None:
    check(program(name), GOLDENS[name], tmp_path, form)


def test_each_network_of_the_demo_is_in_one_loop(tmp_path: Path) -> None:
    path = check(program("recipe"), "time_decoupled", tmp_path, ONNXRUNTIME)
    operators = operators_of(onnx.load(str(path), load_external_data=False))
    assert operators.count("Scan") == 2
    assert operators.count("structure.unet") == operators.count("texture.unet") == 1
