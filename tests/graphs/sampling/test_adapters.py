"""ControlNets and T2I-Adapters in the assembled loop, on analytic networks, against the formulas in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.sampling.adapters import AdapterNetwork, ControlNetwork, FeatureNetwork
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import AdapterUse, ProgramSettings, step_plan
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

STEPS = 6
GAIN = 0.4
RESIDUALS, FEATURES = 2, 3
# float32 roundings of 6 steps on values of order 1 to 20.
TOLERANCE = 1e-5


def tensor(*shape: int) -> TensorType:
    return TensorType(DType.FLOAT32, shape)


def times(builder: GraphBuilder, value: Value, factor: float) -> Value:
    return builder.add("mul", value, builder.constant(np.float32(factor)))


def unet(branches: int, batch: int, residuals: int, features: int) -> Module:
    """epsilon = GAIN * latent + mean(context) + sum of (n + 1) * residual.n - sum of (n + 1) * feature.n."""
    builder = GraphBuilder("main.unet")
    whole, shared = branches * batch, 1 if batch == 1 else branches * batch
    latent = builder.input("latent", tensor(whole, 3, 2, 2))
    builder.input("timestep", tensor(1))
    context = builder.input("context", tensor(whole, 3, 5))
    epsilon = builder.add("reduce_mean", context, axes=(1, 2), keepdims=False)
    epsilon = builder.add("reshape", epsilon, shape=(whole, 1, 1, 1))
    epsilon = builder.add("add", times(builder, latent, GAIN), epsilon)
    for index in range(residuals):
        residual = builder.input(f"residual.{index}", tensor(whole, 3, 2, 2))
        epsilon = builder.add("add", epsilon, times(builder, residual, index + 1))
    for index in range(features):
        feature = builder.input(f"feature.{index}", tensor(shared, 3, 2, 2))
        epsilon = builder.add("sub", epsilon, times(builder, feature, index + 1))
    return Module(builder.build([epsilon], ["epsilon"]))


def controlnet(name: str, branches: int, batch: int) -> ControlNetwork:
    """hint = 2 * image; residuals are hint * t / 1000 and hint + latent / 10."""
    builder = GraphBuilder(f"{name}.hint")
    image = builder.input("image", tensor(batch, 3, 2, 2))
    hint = Module(builder.build([times(builder, image, 2)], ["hint"]))
    builder = GraphBuilder(f"{name}.controlnet")
    latent = builder.input("latent", tensor(branches * batch, 3, 2, 2))
    timestep = builder.input("timestep", tensor(1))
    builder.input("context", tensor(branches * batch, 3, 5))
    seen = builder.input("hint", tensor(1 if batch == 1 else branches * batch, 3, 2, 2))
    early = builder.add("mul", builder.add("broadcast_to", seen, shape=latent.type.shape), timestep)
    residuals = [times(builder, early, 1e-3), builder.add("add", seen, times(builder, latent, 0.1))]
    return ControlNetwork(hint, {branches: Module(builder.build(residuals, ["residual.0", "residual.1"]))})


def t2i_adapter(name: str, batch: int, features: int) -> FeatureNetwork:
    """feature.n = image * (n + 2)."""
    builder = GraphBuilder(f"{name}.t2i_adapter")
    image = builder.input("image", tensor(batch, 3, 2, 2))
    made = [times(builder, image, index + 2) for index in range(features)]
    return FeatureNetwork(Module(builder.build(made, [f"feature.{index}" for index in range(features)])))


def settings(uses: Sequence[AdapterUse], scales: Mapping[str, float] | None = None) -> ProgramSettings:
    guidance = Guidance(scales or {"text": 3.0})
    return ProgramSettings(STEPS, guidance, ExpertSwitch("main", "main", 500), adapters={"main": tuple(uses)})


def program(wanted: ProgramSettings, batch: int = 1, residuals: int = RESIDUALS, features: int = FEATURES) -> Module:
    """ControlNets "edges" and "lines", and T2I-Adapters "depth" with all features and "pose" with one."""
    branches = len(wanted.guidance.branches)
    networks: dict[str, AdapterNetwork] = {name: controlnet(name, branches, batch) for name in ("edges", "lines")}
    networks |= {name: t2i_adapter(name, batch, count) for name, count in (("depth", FEATURES), ("pose", 1))}
    builder = GraphBuilder("vae.decode")
    latent = builder.input("latent", tensor(batch, 3, 2, 2))
    decode = Module(builder.build([times(builder, latent, 2)], ["image"]))
    models = {"main": Network({branches: unet(branches, batch, residuals, features)}, "", networks)}
    module = build_program(wanted, models, {MAIN: Space(latent.type, decode, None)})
    verify(module)
    return module


def optimised(module: Module) -> Module:
    return PassManager(basic_passes()).run(module)[0]


def inputs_for(module: Module) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(11)
    values = {value.name: generator.random(value.type.shape, np.float32) for value in module.entry.inputs}
    return {name: value - np.float32(0.5) * (not name.endswith(".image")) for name, value in values.items()}


def reference(wanted: ProgramSettings, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The final latent."""
    plan = step_plan(wanted)
    x = inputs["noise"].astype(np.float64) * np.sqrt(1 + plan[0].step.sigma ** 2)
    for planned in plan:
        step = planned.step
        latent = x / np.sqrt(step.sigma**2 + 1)
        added = np.zeros_like(x)
        for use in wanted.adapters["main"]:
            if use.window is not None and not use.window[0] <= step.index < use.window[1]:
                continue
            image = inputs[f"{use.name}.image"].astype(np.float64)
            if use.name in ("edges", "lines"):
                added += use.scale * (2 * image * step.t / 1000 + 2 * (2 * image + latent / 10))
            else:
                levels = FEATURES if use.name == "depth" else 1
                added -= use.scale * sum((n + 1) * (n + 2) * image for n in range(levels))
        epsilon = {
            branch: GAIN * latent + inputs[f"context.{branch}"].mean((1, 2))[:, None, None, None] + added
            for branch in wanted.guidance.branches
        }
        guided = text = epsilon["text"]
        first, end = wanted.guidance.window or (0, STEPS)
        if first <= step.index < end:
            base = epsilon.get("uncond", text)
            guided = base + wanted.guidance.scales["text"] * (text - base)
            for style in wanted.guidance.styles:
                guided = guided + wanted.guidance.scales[style] * (epsilon[style] - text)
        x = x + guided * (step.sigma_next - step.sigma)
    return x


MIXTURES = {
    "t2i": [AdapterUse("depth")],
    "t2i scaled in a window": [AdapterUse("depth", 0.7, (1, 4))],
    "two t2i with different features": [AdapterUse("depth", 0.7, (1, 4)), AdapterUse("pose", -1.5, (3, 6))],
    "t2i and controlnet": [AdapterUse("edges", 0.5, (0, 3)), AdapterUse("depth", 0.7, (2, 5))],
    "all": [AdapterUse("pose", 0.3), AdapterUse("edges", 0.5), AdapterUse("depth"), AdapterUse("lines", 2.0, (1, 2))],
}


@pytest.mark.parametrize("scales", [{"text": 3.0}, {"text": 1.0}, {"text": 2.0, "style": 0.5}], ids=str)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", MIXTURES)
def test_the_loop(name: str, batch: int, scales: dict[str, float]) -> None:
    wanted = settings(MIXTURES[name], scales)
    module = program(wanted, batch)
    inputs = inputs_for(module)
    expected = reference(wanted, inputs)
    for form in (module, optimised(module)):
        found = interpreter.run(form, inputs)["latent"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def calls(module: Module, function: str) -> int:
    return sum(node.attributes.get("function") == function for node in module.entry.nodes)


def test_features_are_made_and_scaled_once_for_all_steps() -> None:
    wanted = settings([AdapterUse("depth", 0.7), AdapterUse("edges", 0.5, (2, 5))])
    module = program(wanted)
    images = [value.name for value in module.entry.inputs if value.name.endswith(".image")]
    assert images == ["depth.image", "edges.image"]
    assert calls(module, "depth.t2i_adapter") == calls(module, "edges.hint") == 1
    assert calls(module, "edges.control") == 3
    (features,) = (
        node.outputs for node in module.entry.nodes if node.attributes.get("function") == "depth.t2i_adapter"
    )
    readers = [node for node in module.entry.nodes if set(node.inputs) & set(features)]
    assert [node.operator for node in readers] == ["mul"] * FEATURES


def test_several_pictures_are_repeated_for_the_branches_once() -> None:
    module = program(settings([AdapterUse("depth", 0.7)]), batch=2)
    stacked = [node for node in module.entry.nodes if node.operator == "concat" and len(set(node.inputs)) == 1]
    assert len(stacked) == FEATURES + STEPS  # the others are the latents


@pytest.mark.parametrize("use", [AdapterUse("depth", 0.0), AdapterUse("edges", 0.0), AdapterUse("depth", 1.0, (3, 3))])
def test_an_adapter_that_never_acts_is_not_in_the_module(use: AdapterUse) -> None:
    without = program(settings([]), residuals=0, features=0)
    assert format_module(program(settings([use]), residuals=0, features=0)) == format_module(without)
    assert all(planned.adapters == () for planned in step_plan(settings([use])))


def test_inputs_for_adapters_that_never_act_are_zeros() -> None:
    without, silent = program(settings([]), residuals=0, features=0), program(settings([]))
    inputs = inputs_for(without)
    wanted, found = (interpreter.run(module, inputs)["latent"] for module in (without, silent))
    np.testing.assert_array_equal(found, wanted)


def test_the_plan_lists_both_kinds_at_their_steps() -> None:
    plan = step_plan(settings([AdapterUse("edges", 0.5, (0, 2)), AdapterUse("depth", 0.7, (1, 3))]))
    assert [planned.adapters for planned in plan[:4]] == [("edges",), ("edges", "depth"), ("depth",), ()]


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("depth", {"features": 2}, r"adapter depth adds 3 tensors, but main.unet has 2 inputs feature.<n>; trace"),
        ("edges", {"residuals": 0}, r"adapter edges adds 2 tensors, but main.unet has 0 inputs residual.<n>; trace"),
    ],
)
def test_a_unet_without_enough_inputs_is_refused(name: str, sizes: dict[str, int], message: str) -> None:
    with pytest.raises(CoopdrawError, match=message):
        program(settings([AdapterUse(name)]), **sizes)
