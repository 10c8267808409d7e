"""`pipeline.guidance_steps`: whole compiles, the host loop's own formulas, refusals and the plan that people see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from exporter.random_models import COLOUR, write_t2i_adapter
from exporter.shapes import compiled, coopdraw, folder_size, write_recipe
from exporter.test_host_loop import TOLERANCE, adapter, controls, latent_bridge
from exporter.test_random_weights import RECIPE
from exporter.test_t2i_adapter import change, controlnet, t2i
from exporter.toy_pipelines import (
    GUIDANCE,
    MAIN,
    PARTNER,
    TEXTURE,
    Calls,
    ddim,
    paper_schedule,
    toy_inputs,
    toy_models,
    toy_recipe,
)

from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.cli.app import app
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.host_loop import run_host_loop
from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.reporting.plan import phases, plan_lanes
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.exporter.verification import check_same_pipeline
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.passes.costs import measure, work_of_graphs
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Step

# The four steps of RECIPE are structure's, structure's, structure's and texture's.
WHOLE = "steps = 4\n"


def written(folder: Path, window: tuple[int, int] | None, extra: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    line = "" if window is None else f"guidance_steps = {list(window)}\n"
    (folder / "recipe.toml").write_text(RECIPE.replace(WHOLE, WHOLE + line) + extra)
    return folder / "recipe.toml"


def manifest(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return content


def unets(described: Mapping[str, Any]) -> set[str]:
    """The UNets' functions; those of what doesn't change from step to step, which passes make, left out."""
    names = {function["name"] for function in described["functions"]}
    return {name for name in names if ".unet" in name and not name.endswith(".invariants")}


def test_a_compiled_window_matches_the_host_loop_and_has_every_weight_once(tmp_path: Path) -> None:
    plain = compiled(written(tmp_path / "plain", None), tmp_path / "plain.bundle", "--no-verify")
    bundle = compiled(written(tmp_path / "window", (0, 2)), tmp_path / "window.bundle")
    described = manifest(bundle)
    assert described["verification"]["passed"] is True
    assert unets(described) == {"structure.unet", "structure.unet.text", "texture.unet.text"}
    assert [step["branches"] for step in described["steps"]] == [["uncond", "text"]] * 2 + [["text"]] * 2
    assert {spec["name"] for spec in described["inputs"]} == {spec["name"] for spec in manifest(plain)["inputs"]}
    sizes = [folder_size(each / "sampling_variables") for each in (bundle, plain)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)  # one more function, no more weights

    with pytest.raises(RecipeError, match=r"key pipeline.guidance_steps is None, but the bundle was .* with \[0, 2"):
        check_same_pipeline(load_recipe(tmp_path / "plain" / "recipe.toml"), Bundle.open(bundle))
    shown = CliRunner().invoke(app, ["inspect", str(bundle)]).stdout
    assert "branches" in shown
    assert any(line.split()[:3] == ["uncond,", "text", "guidance"] for line in shown.splitlines())


def test_an_empty_window_is_the_bundle_of_scale_1(tmp_path: Path) -> None:
    bundle = compiled(written(tmp_path / "window", (2, 2)), tmp_path / "window.bundle", "--no-verify")
    recipe = written(tmp_path / "unguided", None)
    recipe.write_text(recipe.read_text().replace("text = 3.0", "text = 1.0"))
    unguided = compiled(recipe, tmp_path / "unguided.bundle", "--no-verify")
    for file in ("sampling.mindir", "sampling_variables/data_0"):
        assert (bundle / file).read_bytes() == (unguided / file).read_bytes()
    assert {spec["name"] for spec in manifest(bundle)["inputs"]} == {"noise", "context.text", "vector.text"}


def traced(folder: Path, window: tuple[int, int] | None) -> Module:
    recipe = load_recipe(written(folder, window))
    return trace_program(recipe, load_pipeline(recipe, CheckpointSource(recipe)), Progress(StringIO()))


def test_half_of_the_steps_without_guidance_save_a_quarter_of_the_work(tmp_path: Path) -> None:
    windows = {"whole": None, "none": (0, 0), "half": (1, 3)}
    modules = {name: traced(tmp_path / name, window) for name, window in windows.items()}
    flops = {name: measure(module).flops for name, module in modules.items()}
    # The two experts have one architecture, so every step of a kind costs the same.
    assert 2 * flops["half"] == flops["whole"] + flops["none"]
    decode = work_of_graphs(modules["whole"])["vae.decode"].flops
    # What doesn't grow with the batch, the timestep's embedding and the sampler, is less than 1 % of a step here.
    assert (flops["half"] - decode) / (flops["whole"] - decode) == pytest.approx(0.75, abs=0.005)


@pytest.mark.slow
def test_adapters_in_and_out_of_the_window(tmp_path: Path) -> None:
    """A ControlNet that acts on both sides of the window's end, one inside only, and a T2I-Adapter."""
    write_t2i_adapter(tmp_path / "depth", COLOUR, seed=1)
    adapters = {
        "edges": controlnet(scale=0.3, steps=[0, 3]),
        "lines": controlnet(scale=0.2, steps=[0, 1]),
        "depth": t2i("depth", scale=0.5),
    }
    changed = change(adapters, {"structure": list(adapters)})

    def windowed(text: str) -> str:
        return changed(text).replace("steps = 4\n", "steps = 4\nguidance_steps = [0, 2]\n", 1)

    bundle = compiled(write_recipe(tmp_path, windowed), tmp_path / "x.bundle")
    names = {function["name"] for function in manifest(bundle)["functions"]}
    assert {"edges.controlnet", "edges.controlnet.text", "lines.controlnet"} <= names
    assert "lines.controlnet.text" not in names
    called = [node.attributes.get("function") for node in read_mindir(bundle / "sampling.mindir").entry.nodes]
    assert [called.count(name) for name in ("edges.hint", "lines.hint", "depth.t2i_adapter")] == [1, 1, 1]
    alone = coopdraw("verify", bundle)
    assert alone.returncode == 0, alone.stderr


@pytest.mark.parametrize(
    ("window", "extra", "message"),
    [
        ((0, 5), "", r"key pipeline.guidance_steps is \[0, 5\]; give \[first, end\) inside the 4 steps, which count"),
        ((3, 1), "", r"key pipeline.guidance_steps is \[3, 1\]; give"),
        (
            (0, 3),
            '[start]\nkind = "image"\nstrength = 0.5\n',
            r"key pipeline.guidance_steps is \[0, 3\]; give .* inside the 2 steps that start.strength leaves of 4",
        ),
        ((-1, 3), "", "key pipeline.guidance_steps.0 is -1, but it should be greater than or equal to 0"),
    ],
)
def test_windows_outside_of_the_plan_are_refused(
    tmp_path: Path, window: tuple[int, int], extra: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, window, extra))


# The host loop


def windowed(recipe: Recipe, window: tuple[int, int]) -> Recipe:
    pipeline = recipe.pipeline.model_copy(update={"guidance_steps": window})
    return recipe.model_copy(update={"pipeline": pipeline})


@pytest.mark.parametrize("window", [(0, 3), (2, 5), (3, 3), (0, 6)])
def test_the_host_loop_is_ddim_with_the_texts_noise_outside(window: tuple[int, int]) -> None:
    inputs, (t, abar) = toy_inputs(), paper_schedule(6)
    calls = Calls()
    found = run_host_loop(windowed(toy_recipe([]), window), toy_models([], calls), inputs, lambda *_: None)["latent"]
    z = inputs["noise"].astype(np.float64)
    for i in range(6):
        toy = MAIN if i == 0 or t[i - 1] >= 500 else TEXTURE
        uncond, text = (toy.predict(z, np.array([t[i]]), inputs[f"context.{name}"]) for name in ("uncond", "text"))
        epsilon = uncond + GUIDANCE * (text - uncond) if window[0] <= i < window[1] else text
        z = ddim(z, epsilon, abar[i], abar[i + 1])
    np.testing.assert_allclose(found, z, rtol=0, atol=TOLERANCE)
    batches = [len(latent) for _, _, latent in calls.made]
    assert batches == [2 if window[0] <= i < window[1] else 1 for i in range(6)]


def test_the_window_holds_for_partners_and_their_adapters() -> None:
    inputs = toy_inputs([PARTNER], edges__image=(4, 4))
    tables = {"edges": adapter(1.0)}
    recipe = toy_recipe([latent_bridge()], [PARTNER], adapters=tables, adapters_of={"partner": ["edges"]})
    calls = Calls()
    models = toy_models([PARTNER], calls, **controls())  # which check that hints have the latent's batch
    run_host_loop(windowed(recipe, (1, 4)), models, inputs, lambda *_: None)
    batches = [len(latent) for name, _, latent in calls.made if name == "partner"]
    assert batches == [1, 2, 2, 2, 1, 1]


# What people see of the plan


def test_guidance_has_a_lane_if_it_is_off_somewhere() -> None:
    both = ("uncond", "text")
    plan = [Step(i, 9 - i, 1.0, 0.5, "unet", branches=both if 1 <= i < 3 else ("text",)) for i in range(5)]
    lanes = {lane.role: (lane.name, list(lane.runs())) for lane in plan_lanes(plan)}
    assert lanes == {"model": ("unet", [(0, 5)]), "guidance": ("uncond, text", [(1, 3)])}
    assert [len(phase) for phase in phases(plan)] == [1, 2, 2]
    assert [lane.role for lane in plan_lanes(plan[1:3])] == ["model"]
