"""Guidance in a window of steps: the assembled loop on analytic networks against the formulas in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from graphs.sampling.test_adapters import (
    FEATURES,
    MIXTURES,
    RESIDUALS,
    STEPS,
    TOLERANCE,
    calls,
    controlnet,
    inputs_for,
    optimised,
    reference,
    t2i_adapter,
    tensor,
    times,
    unet,
)
from graphs.sampling.test_coop import space
from graphs.sampling.test_program import linear_model

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.sampling.adapters import AdapterNetwork, ControlNetwork
from coopdraw.graphs.sampling.coop import MAIN, LatentBridge
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import AdapterUse, ProgramSettings, step_plan
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

Window = tuple[int, int]
SCALES = {"text": 3.0}


def settings(
    window: Window | None, scales: Mapping[str, float] | None = None, uses: Sequence[AdapterUse] = ()
) -> ProgramSettings:
    guidance = Guidance(scales or SCALES, window)
    return ProgramSettings(STEPS, guidance, ExpertSwitch("main", "main", 500), adapters={"main": tuple(uses)})


def named(module: Module, name: str) -> Module:
    return Module(replace(module.entry, name=name), module.functions, module.weights)


def unets(counts: Sequence[int], batch: int) -> dict[int, Module]:
    return {count: named(unet(count, batch, RESIDUALS, FEATURES), f"main.unet.{count}") for count in counts}


def control(name: str, counts: Sequence[int], batch: int) -> ControlNetwork:
    made = {count: controlnet(name, count, batch) for count in counts}
    networks = {count: named(made[count].networks[count], f"{name}.controlnet.{count}") for count in counts}
    return ControlNetwork(made[counts[0]].hint, networks)


def program(wanted: ProgramSettings, batch: int = 1, counts: Sequence[int] | None = None) -> Module:
    """The adapters of `test_adapters`, every network for each number of branches (or those of `counts` only)."""
    counts = counts or tuple(dict.fromkeys((len(wanted.guidance.branches), 1)))
    adapters: dict[str, AdapterNetwork] = {name: control(name, counts, batch) for name in ("edges", "lines")}
    adapters |= {name: t2i_adapter(name, batch, count) for name, count in (("depth", FEATURES), ("pose", 1))}
    builder = GraphBuilder("vae.decode")
    latent = builder.input("latent", tensor(batch, 3, 2, 2))
    decode = Module(builder.build([times(builder, latent, 2)], ["image"]))
    networks = {"main": Network(unets(counts, batch), "", adapters)}
    module = build_program(wanted, networks, {MAIN: Space(latent.type, decode, None)})
    verify(module)
    return module


@pytest.mark.parametrize("scales", [SCALES, {"text": 1.0}, {"text": 2.0, "style": 0.5}, {"text": 1.0, "style": 2.0}])
@pytest.mark.parametrize("window", [(0, 3), (2, 5), (5, 6), (0, 6), (3, 3)])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_loop(batch: int, window: Window, scales: dict[str, float]) -> None:
    check(settings(window, scales), batch)


@pytest.mark.parametrize("window", [(0, 3), (2, 5), (3, 3)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", MIXTURES)
def test_the_loop_with_adapters(name: str, batch: int, window: Window) -> None:
    check(settings(window, uses=MIXTURES[name]), batch)


def check(wanted: ProgramSettings, batch: int) -> None:
    module = program(wanted, batch)
    inputs = inputs_for(module)
    expected = reference(wanted, inputs)
    for form in (module, optimised(module)):
        found = interpreter.run(form, inputs)["latent"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def test_every_call_has_the_branches_of_its_step() -> None:
    wanted = settings((1, 4), {"text": 2.0, "style": 0.5}, [AdapterUse("edges", 0.5, (0, 2)), AdapterUse("depth")])
    nodes = [node for node in program(wanted, 2).entry.nodes if node.operator == "call"]
    batches = {"unet": [2, 6, 6, 6, 2, 2], "control": [2, 6]}
    for kind, expected in batches.items():
        found = [node.inputs[0].type.shape[0] for node in nodes if f".{kind}" in str(node.attributes["function"])]
        assert found == expected
    denoised = [str(node.attributes["function"]) for node in nodes if "denoise" in str(node.attributes["function"])]
    assert denoised == [f"guidance.denoise{suffix}" for suffix in (".text", "", "", "", ".text", ".text")]
    branches = [planned.branches for planned in step_plan(wanted)]
    assert branches == [("text",), *[("uncond", "text", "style")] * 3, *[("text",)] * 2]


def test_without_a_step_it_is_the_program_of_scale_1() -> None:
    uses = [AdapterUse("edges", 0.5), AdapterUse("depth")]
    for window in ((0, 0), (4, 4)):
        found = program(settings(window, {"text": 3.0, "style": 0.5}, uses))
        assert format_module(found) == format_module(program(settings(None, {"text": 1.0}, uses)))
    assert [value.name for value in found.entry.inputs if value.name.startswith("context")] == ["context.text"]


def test_with_all_steps_it_is_the_program_without_a_window() -> None:
    uses = MIXTURES["all"]
    whole = program(settings((0, STEPS), uses=uses), 2)
    assert format_module(whole) == format_module(program(settings(None, uses=uses), 2))
    assert not any(name.endswith((".text", ".1")) for name in whole.functions)


def test_pictures_are_read_and_conditions_stacked_once() -> None:
    module = program(settings((1, 4), uses=[AdapterUse("edges", 0.5), AdapterUse("depth", 0.7)]), 2)
    assert calls(module, "edges.hint") == calls(module, "depth.t2i_adapter") == 1
    assert calls(module, "edges.control") == 3 == calls(module, "edges.control.text")
    stacked = [node for node in module.entry.nodes if node.operator == "concat"]
    repeated = [node for node in stacked if len(set(node.inputs)) == 1]
    # The hint, the features and three latents; of context there is one stack, which the text's own steps don't read.
    assert len(repeated) == 1 + FEATURES + 3
    assert len(stacked) == len(repeated) + 1


@pytest.mark.parametrize("counts", [(2,), (1,)])
def test_a_number_of_branches_without_a_network_is_refused(counts: tuple[int]) -> None:
    with pytest.raises(CoopdrawError, match=r"model main has no UNet for \d branches"):
        program(settings((0, 3)), counts=counts)


def test_a_controlnet_without_a_network_is_refused() -> None:
    wanted = settings((0, 3), uses=[AdapterUse("edges")])
    latent = tensor(1, 3, 2, 2)
    networks = {"main": Network(unets((2, 1), 1), "", {"edges": control("edges", (2,), 1)})}
    with pytest.raises(CoopdrawError, match="adapter edges has no network for 1 branches"):
        build_program(wanted, networks, {MAIN: Space(latent, None, None)})


def twins(window: Window, bridge: LatentBridge | None) -> Module:
    """A model, and one that is equal to it as a partner."""
    wanted = ProgramSettings(
        8, Guidance(SCALES, window), ExpertSwitch("main", "main", 500), (bridge,) if bridge else ()
    )
    shape = (1, 3, 2, 2)
    networks = {
        name: Network(
            {count: named(linear_model(name, 0.4, count, shape=shape), f"{name}.{count}") for count in (2, 1)},
            prefix,
            {},
        )
        for name, prefix in (("main", ""), ("twin", "twin."))
    }
    return build_program(wanted, networks, {MAIN: space("vae"), "twin": space("twin_vae")})


@pytest.mark.parametrize("window", [(0, 4), (3, 6)])
@pytest.mark.parametrize("steps", [(0, 8), (0, 5)])
def test_an_identical_partner_changes_nothing(window: Window, steps: Window) -> None:
    alone, both = twins(window, None), twins(window, LatentBridge("twin", 0.7, steps))
    inputs = inputs_for(alone)
    named_inputs = {value.name: inputs[value.name.removeprefix("twin.")] for value in both.entry.inputs}
    wanted, found = interpreter.run(alone, inputs), interpreter.run(both, named_inputs)
    # d*x + (1-d)*x rounds twice a step; nothing else differs.
    np.testing.assert_allclose(found["latent"], wanted["latent"], rtol=2e-5, atol=2e-5)


def test_a_partner_that_is_never_guided_needs_no_unconditional_branch() -> None:
    names = [value.name for value in twins((0, 4), LatentBridge("twin", 0.5, (5, 8))).entry.inputs]
    assert {"context.uncond", "twin.context.text"} <= set(names)
    assert "twin.context.uncond" not in names


def test_half_of_the_steps_cost_as_much_as_half_of_each_program() -> None:
    whole, none = (measure(program(settings(window))).flops for window in (None, (0, 0)))
    # One step of either kind is always the same, and what is outside of the steps is in both.
    assert 2 * measure(program(settings((1, 1 + STEPS // 2)))).flops == whole + none


def test_types_of_conditions_are_compared_between_guided_and_unguided_networks() -> None:
    latent = TensorType(DType.FLOAT32, (1, 4, 2, 2))
    models = {
        2: named(linear_model("main", 0.4, 2), "main.2"),
        1: named(linear_model("main", 0.4, 1, tokens=4), "main.1"),
    }
    with pytest.raises(CoopdrawError, match="must share one architecture"):
        build_program(settings((0, 3)), {"main": Network(models, "", {})}, {MAIN: Space(latent, None, None)})
