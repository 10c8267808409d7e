"""The loop passes on the demo pipeline, traced from its recipe: what moves, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import write_recipe
from graphs.passes.random_graphs import assert_same_bits, run

from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.graphs.ir import Module
from coopdraw.graphs.memory_plan import plan_memory
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.passes.loop.fold_affine import FoldAffine
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.passes.loop.invariant_arguments import HoistInvariantArguments
from coopdraw.graphs.passes.loop.merge_projections import MergeProjections
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes

STEPS = 6
UNETS = ("structure.unet", "texture.unet")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Module:
    """The pipeline with few steps after the basic passes."""
    folder = tmp_path_factory.mktemp("demo")
    path: Path = write_recipe(folder, lambda text: text.replace("steps = 20", f"steps = {STEPS}"))
    recipe = load_recipe(path)
    traced = trace_program(recipe, load_pipeline(recipe, CheckpointSource(recipe)), Progress())
    return PassManager(basic_passes()).run(traced)[0]


@pytest.fixture(scope="module")
def inputs(program: Module) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {v.name: random.standard_normal(v.type.shape).astype(np.float32) for v in program.entry.inputs}


@pytest.fixture(scope="module")
def wanted(program: Module, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run(program, inputs)


def text_projections(module: Module, function: str) -> int:
    """Layers whose weights make keys and values of a text, as the Cells are named."""
    names = module.functions[function].weight_names()
    return sum(".attn2.to_k." in name or ".attn2.to_v." in name for name in names)


def test_keys_values_and_label_are_computed_once(
    program: Module, inputs: dict[str, np.ndarray], wanted: dict[str, np.ndarray]
) -> None:
    hoisted = PassManager([InlineFunctions(), HoistInvariantArguments()]).run(program)[0]
    for unet in UNETS:
        invariants = hoisted.functions[f"{unet}.invariants"]
        assert text_projections(program, unet) == text_projections(hoisted, invariants.name) == 8
        assert text_projections(hoisted, unet) == 0
        assert not any("label_emb" in name for name in hoisted.functions[unet].weight_names())
        # keys and values of four blocks, in the order of the heads, and the label's embedding
        assert len(invariants.outputs) == 4 * 2 + 1
        calls = [node.attributes["function"] for node in hoisted.entry.nodes if node.operator == "call"]
        assert calls.count(invariants.name) == 1
    assert_same_bits(run(hoisted, inputs), wanted)
    # 8 products of 2 x 8 tokens, 64 to 64; the label's 160 to 128 to 128 with biases and silu: all but two evaluations
    text, label = 8 * 16 * 64 * 2 * 64, 2 * 128 * (2 * 160 + 1 + 2 * 128 + 1)
    silu = 2 * 128 * 4
    saved = measure(program).flops - measure(hoisted).flops
    assert abs(saved - (STEPS - 2) * (text + label + silu)) <= (STEPS - 2) * silu


def test_reassociating_passes_stay_within_rounding(
    program: Module, inputs: dict[str, np.ndarray], wanted: dict[str, np.ndarray]
) -> None:
    passes = [InlineFunctions(), HoistInvariantArguments(), MergeProjections(), FoldAffine()]
    changed, records = PassManager(passes).run(program)
    # per UNet four self-attentions, the blocks' embedding layers, keys and values of the text; the VAE's division
    assert [record.rewrites for record in records[2:]] == [12, 1]
    for name, array in run(changed, inputs).items():
        # the limit of the whole loop against another implementation is 1e-4 of the range; rounding alone is far below
        assert np.abs(array - wanted[name]).max() <= 1e-5 * np.ptp(wanted[name])


def test_memory_of_the_loop_is_that_of_its_largest_function(program: Module) -> None:
    plan = plan_memory(program)
    path = [(graph, node.operator) for graph, node in plan.peak]
    assert [graph for graph, _ in path] == ["sampling", "vae.decode"]
    assert plan.peak_bytes <= plan.arena_bytes <= 1.1 * plan.peak_bytes
    assert plan.arena_bytes < plan.unshared_bytes / 20
