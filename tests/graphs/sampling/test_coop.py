"""Properties of Coop-Diffusion on analytic models whose transfers are exact: latents are pictures times two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from graphs.sampling.test_program import linear_model, make_inputs

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.sampling.coop import MAIN, LatentBridge, ResolutionBridge
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.experts import ExpertSwitch
from coopdraw.graphs.sampling.guidance import Guidance
from coopdraw.graphs.sampling.plan import ProgramSettings, step_plan
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

SHAPE = (1, 3, 2, 2)
GUIDANCE = Guidance({"text": 3.0})
SWITCH = ExpertSwitch("main", "main", 500)


def scaling(name: str, source: str, target: str, factor: float) -> Module:
    builder = GraphBuilder(name)
    x = builder.input(source, TensorType(DType.FLOAT32, SHAPE))
    return Module(builder.build([builder.add("mul", x, builder.constant(np.float32(factor)))], [target]))


def space(name: str) -> Space:
    """A VAE that doubles and halves: exact in binary arithmetic."""
    latent = TensorType(DType.FLOAT32, SHAPE)
    decode = scaling(f"{name}.decode", "latent", "image", 2.0)
    return Space(latent, decode, scaling(f"{name}.encode", "image", "latent", 0.5))


def network(name: str, gain: float, prefix: str) -> Network:
    return Network({2: linear_model(name, gain, 2, shape=SHAPE)}, prefix, {})


def program(settings: ProgramSettings, partners: dict[str, float], optimised: bool = True) -> Module:
    networks = {"main": network("main", 0.4, "")}
    networks |= {name: network(name, gain, f"{name}.") for name, gain in partners.items()}
    spaces = {MAIN: space("vae")} | {name: space(f"{name}_vae") for name in partners}
    module = build_program(settings, networks, spaces)
    verify(module)
    return PassManager(basic_passes()).run(module)[0] if optimised else module


def settings(*bridges: LatentBridge, resolutions: Sequence[ResolutionBridge] = (), steps: int = 8) -> ProgramSettings:
    return ProgramSettings(steps, GUIDANCE, SWITCH, bridges, tuple(resolutions))


def inputs_for(module: Module) -> dict[str, np.ndarray]:
    """The main model's conditions for everybody, and noise of each input's own."""
    base = make_inputs(settings(), vector=True, shape=SHAPE)
    found = {}
    for index, value in enumerate(module.entry.inputs):
        kind = ".".join(value.name.split(".")[-2:])
        noise = np.random.default_rng(index).standard_normal(value.type.shape, np.float32)
        found[value.name] = base.get(value.name, base.get(kind, noise))
    return found


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("strength", [0.25, 0.7, 1.0])
def test_an_identical_partner_changes_nothing(strength: float, feedback: bool) -> None:
    alone = program(settings(), {})
    both = program(settings(LatentBridge("twin", strength, (0, 8), feedback)), {"twin": 0.4})
    wanted = interpreter.run(alone, inputs_for(alone))
    found = interpreter.run(both, inputs_for(both))
    # d*x + (1-d)*x rounds twice a step; nothing else differs.
    np.testing.assert_allclose(found["latent"], wanted["latent"], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("bridge", [LatentBridge("other", 0.0, (0, 8)), LatentBridge("other", 0.5, (3, 3))])
def test_a_partner_without_strength_or_steps_is_not_there(bridge: LatentBridge) -> None:
    assert format_module(program(settings(bridge), {"other": 0.9})) == format_module(program(settings(), {}))


def test_full_strength_leaves_the_main_model_out_of_those_steps() -> None:
    module = program(settings(LatentBridge("other", 1.0, (0, 8))), {"other": 0.9})
    assert "main.unet" not in module.functions
    partial = program(settings(LatentBridge("other", 1.0, (0, 7))), {"other": 0.9})
    calls = [str(node.attributes["function"]) for node in partial.entry.nodes if node.operator == "call"]
    assert calls.count("main.unet") == 1


def test_the_order_of_bridges_that_do_not_touch_does_not_matter() -> None:
    first, second = LatentBridge("a", 0.5, (0, 3)), LatentBridge("b", 0.3, (4, 8))
    partners = {"a": 0.9, "b": 0.2}
    one, other = (program(settings(*order), partners) for order in ((first, second), (second, first)))
    assert format_module(one) == format_module(other)


def test_a_window_that_starts_later_enters_from_the_main_prediction() -> None:
    module = program(settings(LatentBridge("other", 0.5, (4, 8), share_noise=False)), {"other": 0.9})
    names = [value.name for value in module.entry.inputs]
    assert "other.noise" in names
    assert names.index("other.noise") > names.index("noise")
    assert "bridge.main_to_other" in module.functions


def test_noise_can_only_be_shared_between_equal_latents() -> None:
    networks = {"main": network("main", 0.4, ""), "small": network("small", 0.4, "small.")}
    small = space("small_vae")
    spaces = {MAIN: space("vae"), "small": Space(TensorType(DType.FLOAT32, (1, 3, 1, 1)), small.decode, small.encode)}
    with pytest.raises(CoopdrawError, match="share_noise = false"):
        build_program(settings(LatentBridge("small", 0.5, (0, 8), share_noise=True)), networks, spaces)


@pytest.mark.parametrize("window", [(0, 8), (0, 3), (2, 5), (7, 8)])
@pytest.mark.parametrize("feedback", [False, True])
def test_the_plan_lists_the_transfers_that_the_graph_makes(window: tuple[int, int], feedback: bool) -> None:
    wanted = settings(LatentBridge("other", 0.5, window, feedback))
    module = program(wanted, {"other": 0.9})
    calls = [str(node.attributes["function"]) for node in module.entry.nodes if node.operator == "call"]
    listed = [transfer.function for planned in step_plan(wanted) for transfer in planned.transfers()]
    # A late entry and the feedback of that step are one line of the plan.
    entries = int(feedback and window[0] > 0 and window[1] - window[0] > 1)
    assert len([name for name in calls if name.startswith("bridge.")]) == len(listed) + entries


def test_the_plan_of_a_chain() -> None:
    chain = [ResolutionBridge("second", "b", 400), ResolutionBridge("first", "a", 800)]
    plan = step_plan(settings(resolutions=chain, steps=10))
    assert [planned.model for planned in plan] == ["a"] * 2 + ["b"] * 4 + ["main"] * 4
    arrivals = {p.step.index: [transfer.function for _, transfer in p.arrivals] for p in plan if p.arrivals}
    assert arrivals == {2: ["bridge.a_to_b"], 6: ["bridge.b_to_main"]}


def test_a_bridge_that_no_step_reaches() -> None:
    with pytest.raises(CoopdrawError, match="give at least"):
        step_plan(settings(resolutions=[ResolutionBridge("bridge", "a", 3)], steps=10))
