"""The assembled loop on small analytic models, run on the interpreter and compared with the formulas of the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import ProgramSettings, step_plan
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

LATENT = (1, 4, 2, 2)
# The graph adds float32 roundings of at most 20 steps; values are of order 1 to 15.
TOLERANCE = 2e-5


def linear_model(
    name: str,
    gain: float,
    branches: int,
    vector: bool = True,
    tokens: int = 3,
    shape: tuple[int, ...] = LATENT,
) -> Module:
    """epsilon = gain * latent + mean(context) + timestep / 1000 (+ mean(vector))."""
    builder = GraphBuilder(f"{name}.unet")
    batch = branches * shape[0]
    latent = builder.input("latent", TensorType(DType.FLOAT32, (batch, *shape[1:])))
    timestep = builder.input("timestep", TensorType(DType.FLOAT32, (1,)))
    context = builder.input("context", TensorType(DType.FLOAT32, (batch, tokens, 5)))
    moved = builder.add("reduce_mean", context, axes=(1, 2), keepdims=False)
    if vector:
        pooled = builder.input("vector", TensorType(DType.FLOAT32, (batch, 6)))
        moved = builder.add("add", moved, builder.add("reduce_mean", pooled, axes=(1,), keepdims=False))
    moved = builder.add("add", moved, builder.add("div", timestep, builder.constant(np.float32(1000))))
    moved = builder.add("reshape", moved, shape=(batch, 1, 1, 1))
    scaled = builder.add("mul", latent, builder.constant(np.float32(gain)))
    return Module(builder.build([builder.add("add", scaled, moved)], ["epsilon"]))


def assemble(settings: ProgramSettings, models: Mapping[str, Module]) -> Module:
    """The program of a pipeline that has nothing but experts."""
    branches = len(settings.guidance.branches)
    networks = {name: Network({branches: module}, "", {}) for name, module in models.items()}
    main = Space(TensorType(DType.FLOAT32, LATENT), doubling_decoder(), None)
    return build_program(settings, networks, {MAIN: main})


def doubling_decoder() -> Module:
    builder = GraphBuilder("vae.decode")
    latent = builder.input("latent", TensorType(DType.FLOAT32, LATENT))
    rgb = builder.add("slice", latent, begin=(0, 0, 0, 0), end=(1, 3, 2, 2), stride=(1, 1, 1, 1))
    return Module(builder.build([builder.add("add", rgb, rgb)], ["image"]))


def reference(
    settings: ProgramSettings, gains: Mapping[str, float], inputs: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """z_T to z_0 in the paper's variable: x0 = z - sigma * eps, d = (x - x0)/sigma, in float64."""
    plan = step_plan(settings)
    x = inputs["noise"].astype(np.float64) * np.sqrt(1 + plan[0].step.sigma ** 2)
    for planned in plan:
        step = planned.step
        eps = {}
        for branch in settings.guidance.branches:
            eps[branch] = gains[planned.model] * x / np.sqrt(step.sigma**2 + 1) + step.t / 1000
            eps[branch] += inputs[f"context.{branch}"].mean()
            if f"vector.{branch}" in inputs:
                eps[branch] += inputs[f"vector.{branch}"].mean()
        text, base = eps["text"], eps.get("uncond", eps["text"])
        guided = base + settings.guidance.scales["text"] * (text - base)
        for style in settings.guidance.styles:
            guided = guided + settings.guidance.scales[style] * (eps[style] - text)
        x0 = x - step.sigma * guided
        x = x + (x - x0) / step.sigma * (step.sigma_next - step.sigma)
    return x, np.clip(2 * x[:, :3] * 0.5 + 0.5, 0, 1)


def make_inputs(settings: ProgramSettings, vector: bool, shape: tuple[int, ...] = LATENT) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    inputs = {"noise": generator.standard_normal(shape, np.float32)}
    for branch in settings.guidance.branches:
        inputs[f"context.{branch}"] = generator.standard_normal((1, 3, 5), np.float32) * np.float32(0.3)
        if vector:
            inputs[f"vector.{branch}"] = generator.standard_normal((1, 6), np.float32) * np.float32(0.3)
    return inputs


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("scales", [{"text": 5.0}, {"text": 1.0}, {"text": 3.0, "style": 1.5, "other": -0.5}])
@pytest.mark.parametrize("switch", ["previous", "current"])
def test_the_loop(scales: dict[str, float], switch: str, vector: bool, optimised: bool) -> None:
    settings = ProgramSettings(20, Guidance(scales), ExpertSwitch("structure", "texture", 500, switch))
    gains = {"structure": 0.4, "texture": 0.7}
    branches = len(settings.guidance.branches)
    models = {name: linear_model(name, gain, branches, vector) for name, gain in gains.items()}
    module = assemble(settings, models)
    verify(module)
    if optimised:
        module, _ = PassManager(basic_passes()).run(module)
    inputs = make_inputs(settings, vector)
    found = interpreter.run(module, inputs)
    latent, image = reference(settings, gains, inputs)
    np.testing.assert_allclose(found["latent"], latent, atol=TOLERANCE * np.abs(latent).max())
    np.testing.assert_allclose(found["image"], image, atol=TOLERANCE * np.abs(latent).max())


def test_input_names_and_order() -> None:
    settings = ProgramSettings(2, Guidance({"text": 2.0, "style": 1.0}), ExpertSwitch("a", "b", 500))
    module = assemble(settings, {n: linear_model(n, 0.1, 3) for n in "ab"})
    assert [value.name for value in module.entry.inputs] == [
        "noise",
        *(f"{kind}.{branch}" for branch in ("uncond", "text", "style") for kind in ("context", "vector")),
    ]
    assert module.entry.output_names == ("image", "latent")


def test_a_model_that_never_runs_is_not_in_the_module() -> None:
    settings = ProgramSettings(4, Guidance({"text": 2.0}), ExpertSwitch("a", "b", 0))
    module = assemble(settings, {n: linear_model(n, 0.1, 2) for n in "ab"})
    assert "a.unet" in module.functions
    assert "b.unet" not in module.functions


def test_experts_of_different_architectures_are_refused() -> None:
    settings = ProgramSettings(4, Guidance({"text": 2.0}), ExpertSwitch("a", "b", 500))
    models = {"a": linear_model("a", 0.1, 2), "b": linear_model("b", 0.1, 2, tokens=4)}
    with pytest.raises(CoopdrawError, match="must share one architecture"):
        assemble(settings, models)


def test_a_model_for_another_latent_is_refused() -> None:
    settings = ProgramSettings(4, Guidance({"text": 2.0}), ExpertSwitch("a", "a", 500))
    with pytest.raises(CoopdrawError, match="image_size"):
        assemble(settings, {"a": linear_model("a", 0.1, 1)})


def test_guidance_needs_text_and_no_scale_for_uncond() -> None:
    with pytest.raises(CoopdrawError, match="add text"):
        Guidance({"style": 1.0})
    with pytest.raises(CoopdrawError, match="remove it"):
        Guidance({"text": 1.0, "uncond": 2.0})
