"""The host loop against Algorithm 1 in the paper's own variables, on tiny affine networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exporter.toy_pipelines import (
    MAIN,
    PARTNER,
    TEXTURE,
    Calls,
    Fusion,
    Toy,
    algorithm_1,
    paper_schedule,
    toy_inputs,
    toy_models,
    toy_recipe,
    transfer,
)

from coopdraw.exporter.host_loop import run_host_loop
from coopdraw.exporter.recipe import Recipe

# Networks see float32 (6e-8 of values up to about 15, where sigma is large); a wrong formula is off by more than 1e-2.
TOLERANCE = 2e-5
SECOND = Toy("second", (8, 8), gain=0.45, bias=-0.4, brightness=1.2)
LOWRES = Toy("lowres", (2, 2), gain=0.55, bias=0.2, brightness=1.3)
MIDRES = Toy("midres", (4, 2), gain=0.5, bias=0.1, brightness=0.8)


def latent_bridge(partner: str = "partner", **keys: Any) -> dict[str, Any]:
    return {"bridge": "latent", "with": partner, **keys}


def resolution_bridge(source: str, at: int, name: str = "bridge", **keys: Any) -> dict[str, Any]:
    return {"bridge": "resolution", "from": source, "at": at, "name": name, **keys}


def drawn(recipe: Recipe, others: list[Toy], inputs: dict[str, np.ndarray], calls: Calls | None = None, **maps: Any):
    """The host loop's latent."""
    progress: list[tuple[int, int]] = []
    found = run_host_loop(recipe, toy_models(others, calls, **maps), inputs, lambda *step: progress.append(step))
    steps = recipe.pipeline.steps
    assert progress == [(step, steps) for step in range(1, steps + 1)]
    np.testing.assert_array_equal(found["image"], np.clip(MAIN.decode(found["latent"]) * 0.5 + 0.5, 0, 1))
    return found["latent"]


def test_without_bridges_it_is_ddim_with_two_experts() -> None:
    inputs = toy_inputs()
    np.testing.assert_allclose(drawn(toy_recipe([]), [], inputs), algorithm_1(inputs, []), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("window", [None, (0, 4), (2, 5), (5, 6), (3, 3)])
@pytest.mark.parametrize("size", [(4, 4), (12, 16), (2, 2)])
def test_one_partner(feedback: bool, window: tuple[int, int] | None, size: tuple[int, int]) -> None:
    partner = replace(PARTNER, size=size)
    inputs = toy_inputs([partner], partner__noise=size)
    recipe = toy_recipe([latent_bridge(strength=0.3, steps=window, feedback=feedback)], [partner])
    noise = inputs["noise" if size == MAIN.size else "partner.noise"]
    wanted = algorithm_1(inputs, [Fusion(partner, noise, 0.3, window or (0, 6), feedback)])
    np.testing.assert_allclose(drawn(recipe, [partner], inputs), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("first", [0, 2])
def test_a_partner_with_its_own_noise(first: int) -> None:
    inputs = toy_inputs([PARTNER], partner__noise=(4, 4))
    recipe = toy_recipe([latent_bridge(strength=0.6, steps=(first, 6), share_noise=False)], [PARTNER])
    wanted = algorithm_1(inputs, [Fusion(PARTNER, inputs["partner.noise"], 0.6, (first, 6), True)])
    np.testing.assert_allclose(drawn(recipe, [PARTNER], inputs), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("turned", [False, True])
def test_partners_are_applied_one_after_another(turned: bool) -> None:
    inputs = toy_inputs([PARTNER, SECOND], second__noise=(8, 8))
    entries = [
        (
            latent_bridge(strength=0.3, steps=(0, 5), feedback=False),
            Fusion(PARTNER, inputs["noise"], 0.3, (0, 5), False),
        ),
        (
            latent_bridge("second", strength=0.6, steps=(1, 4)),
            Fusion(SECOND, inputs["second.noise"], 0.6, (1, 4), True),
        ),
    ]
    bridges, fusions = zip(*(reversed(entries) if turned else entries), strict=True)
    found = drawn(toy_recipe(bridges, [PARTNER, SECOND]), [PARTNER, SECOND], inputs)
    np.testing.assert_allclose(found, algorithm_1(inputs, fusions), rtol=0, atol=TOLERANCE)
    other = algorithm_1(inputs, fusions[::-1])
    assert np.abs(found - other).max() > 1e-2  # the order of the recipe counts


def test_the_order_of_entries_that_do_not_touch_is_free() -> None:
    inputs = toy_inputs([PARTNER, SECOND], second__noise=(8, 8))
    entries = [latent_bridge(steps=(0, 2)), latent_bridge("second", steps=(3, 5)), latent_bridge(steps=(5, 6))]
    straight = drawn(toy_recipe(entries, [PARTNER, SECOND]), [PARTNER, SECOND], inputs)
    turned = drawn(toy_recipe(entries[::-1], [PARTNER, SECOND]), [PARTNER, SECOND], inputs)
    np.testing.assert_array_equal(straight, turned)


def test_a_bridge_of_strength_zero_leaves_everything_and_does_not_run() -> None:
    inputs = toy_inputs([PARTNER])
    calls = Calls()
    found = drawn(toy_recipe([latent_bridge(strength=0.0)], [PARTNER]), [PARTNER], inputs, calls)
    np.testing.assert_array_equal(found, drawn(toy_recipe([]), [], inputs))
    assert {name for name, _ in calls.who()} == {"structure", "texture"}


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_an_identical_partner_changes_nothing(strength: float, feedback: bool) -> None:
    lossless = replace(MAIN, name="partner", loss=1.0)
    inputs = toy_inputs([lossless])
    inputs |= {f"partner.{name}": array for name, array in inputs.items() if name.startswith("context")}
    recipe = toy_recipe([latent_bridge(strength=strength, feedback=feedback, steps=(0, 4))], [lossless])
    models = toy_models([lossless])
    encode = {name: lambda image: image - np.float32(0.1) for name in models.encode}
    found = run_host_loop(recipe, replace(models, encode=encode), inputs, lambda *_: None)["latent"]
    alone = drawn(toy_recipe([]), [], inputs)  # the window ends where the texture expert takes over
    np.testing.assert_allclose(found, alone, rtol=0, atol=TOLERANCE)


def test_a_partner_runs_inside_its_window_only_and_after_the_main_model() -> None:
    calls = Calls()
    drawn(toy_recipe([latent_bridge(steps=(2, 4))], [PARTNER]), [PARTNER], toy_inputs([PARTNER]), calls)
    t, _ = paper_schedule(6)
    assert calls.who() == [
        ("structure", t[0]),
        ("structure", t[1]),
        ("structure", t[2]),
        ("partner", t[2]),
        ("structure", t[3]),
        ("partner", t[3]),
        ("texture", t[4]),
        ("texture", t[5]),
    ]


def test_without_feedback_the_partner_goes_its_own_way() -> None:
    ways = []
    for strength in (0.2, 0.9):
        calls = Calls()
        recipe = toy_recipe([latent_bridge(strength=strength, feedback=False)], [PARTNER])
        drawn(recipe, [PARTNER], toy_inputs([PARTNER]), calls)
        ways.append(np.stack(calls.latents("partner")))
    np.testing.assert_array_equal(*ways)


def test_feedback_sends_the_fused_prediction_back() -> None:
    """With strength 1 and a partner that returns what it gets, x' must follow E'(D(E(D'(x0'))))."""
    calls = Calls()
    inputs = toy_inputs([PARTNER])
    drawn(toy_recipe([latent_bridge(strength=1.0, steps=(0, 2))], [PARTNER]), [PARTNER], inputs, calls)
    t, abar = paper_schedule(6)
    z = inputs["noise"]
    z0 = (z - np.sqrt(1 - abar[0]) * PARTNER.epsilon(inputs, z, t[0])) / np.sqrt(abar[0])
    returned = transfer(transfer(z0, PARTNER, MAIN), MAIN, PARTNER)
    epsilon = (z - np.sqrt(abar[0]) * returned) / np.sqrt(1 - abar[0])
    wanted = np.sqrt(abar[1]) * returned + np.sqrt(1 - abar[1]) * epsilon
    np.testing.assert_allclose(calls.latents("partner")[1], wanted, rtol=0, atol=TOLERANCE)


def low_resolution_part(
    inputs: dict[str, np.ndarray], toy: Toy, z: np.ndarray, steps: range
) -> tuple[np.ndarray, np.ndarray]:
    """z at the last of `steps`, and z0 there, of a model alone."""
    t, abar = paper_schedule(6)
    for i in steps:
        epsilon = toy.epsilon(inputs, z, t[i])
        z0 = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
        if i < steps[-1]:
            z = np.sqrt(abar[i + 1]) * z0 + np.sqrt(1 - abar[i + 1]) * epsilon
    return z, z0


def experts_part(inputs: dict[str, np.ndarray], z: np.ndarray, first: int) -> np.ndarray:
    t, abar = paper_schedule(6)
    for i in range(first, 6):
        toy = MAIN if i == 0 or t[i - 1] >= 500 else TEXTURE
        epsilon = toy.epsilon(inputs, z, t[i])
        z0 = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
        z = np.sqrt(abar[i + 1]) * z0 + np.sqrt(1 - abar[i + 1]) * epsilon
    return z


@pytest.mark.parametrize(("at", "step"), [(1000, 0), (998, 1), (499, 3), (498, 4), (166, 5)])
def test_a_resolution_bridge(at: int, step: int) -> None:
    t, abar = paper_schedule(6)
    assert next(i for i in range(6) if t[i] <= at) == step
    calls, inputs = Calls(), toy_inputs([LOWRES], lowres__noise=(2, 2), bridge__noise=(4, 4))
    del inputs["noise"]
    found = drawn(toy_recipe([resolution_bridge("lowres", at)], [LOWRES]), [LOWRES], inputs, calls)
    _, z0 = low_resolution_part(inputs, LOWRES, inputs["lowres.noise"], range(step + 1))
    z = np.sqrt(abar[step]) * transfer(z0, LOWRES, MAIN) + np.sqrt(1 - abar[step]) * inputs["bridge.noise"]
    np.testing.assert_allclose(found, experts_part(inputs, z, step), rtol=0, atol=TOLERANCE)
    experts = ["structure"] * 4 + ["texture"] * 2  # by the schedule's previous t, whoever ran it
    low, high = [("lowres", t[i]) for i in range(step + 1)], [(experts[i], t[i]) for i in range(step, 6)]
    assert calls.who() == low + high


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("at", "step"), [(300, 5), (665, 3), (700, 2)])
def test_a_chain_runs_from_the_largest_t(at: int, step: int, turned: bool) -> None:
    """`midres` takes over at t = 666 (step 2) and the experts at `at`, which may be the same step."""
    t, abar = paper_schedule(6)
    others = [LOWRES, MIDRES]
    inputs = toy_inputs(others, lowres__noise=(2, 2), first__noise=(4, 2), then__noise=(4, 4))
    bridges = [resolution_bridge("lowres", 800, "first"), resolution_bridge("midres", at, "then")]
    calls = Calls()
    found = drawn(toy_recipe(bridges[::-1] if turned else bridges, others), others, inputs, calls)
    _, z0 = low_resolution_part(inputs, LOWRES, inputs["lowres.noise"], range(3))
    z = np.sqrt(abar[2]) * transfer(z0, LOWRES, MIDRES) + np.sqrt(1 - abar[2]) * inputs["first.noise"]
    _, z0 = low_resolution_part(inputs, MIDRES, z, range(2, step + 1))
    z = np.sqrt(abar[step]) * transfer(z0, MIDRES, MAIN) + np.sqrt(1 - abar[step]) * inputs["then.noise"]
    np.testing.assert_allclose(found, experts_part(inputs, z, step), rtol=0, atol=TOLERANCE)
    names = [name for name, _ in calls.who()]
    assert names[:4] == ["lowres"] * 3 + ["midres"]
    assert [timestep for name, timestep in calls.who() if name == "midres"] == t[2 : step + 1]


def test_the_upsample_mode_is_the_recipes() -> None:
    others = [LOWRES]
    inputs = toy_inputs(others, lowres__noise=(2, 2), bridge__noise=(4, 4))
    latents = [
        drawn(toy_recipe([resolution_bridge("lowres", 500, upsample=mode)], others), others, inputs)
        for mode in ("nearest", "bilinear", "bicubic")
    ]
    assert np.abs(latents[0] - latents[1]).max() > 1e-2
    assert np.abs(latents[1] - latents[2]).max() > 1e-2


def test_a_partner_bridges_to_whatever_model_runs() -> None:
    """It is as large as `lowres`, shares its noise, and is still there when the experts have taken over."""
    t, abar = paper_schedule(6)
    partner = replace(PARTNER, size=(2, 2))
    others, d = [LOWRES, partner], 0.4
    inputs = toy_inputs(others, lowres__noise=(2, 2), bridge__noise=(4, 4))
    coop = [latent_bridge(strength=d, steps=(0, 2), feedback=False), resolution_bridge("lowres", t[1])]
    found = drawn(toy_recipe(coop, others), others, inputs)

    z = partner_z = inputs["lowres.noise"]
    epsilon, partner_epsilon = (toy.epsilon(inputs, z, t[0]) for toy in others)
    z0, partner_z0 = ((z - np.sqrt(1 - abar[0]) * e) / np.sqrt(abar[0]) for e in (epsilon, partner_epsilon))
    z0 = d * transfer(partner_z0, partner, LOWRES) + (1 - d) * z0
    epsilon = (z - np.sqrt(abar[0]) * z0) / np.sqrt(1 - abar[0])
    z = np.sqrt(abar[1]) * z0 + np.sqrt(1 - abar[1]) * epsilon
    partner_z = np.sqrt(abar[1]) * partner_z0 + np.sqrt(1 - abar[1]) * partner_epsilon

    _, z0 = low_resolution_part(inputs, LOWRES, z, range(1, 2))
    z = np.sqrt(abar[1]) * transfer(z0, LOWRES, MAIN) + np.sqrt(1 - abar[1]) * inputs["bridge.noise"]
    z0 = (z - np.sqrt(1 - abar[1]) * MAIN.epsilon(inputs, z, t[1])) / np.sqrt(abar[1])
    partner_epsilon = partner.epsilon(inputs, partner_z, t[1])
    partner_z0 = (partner_z - np.sqrt(1 - abar[1]) * partner_epsilon) / np.sqrt(abar[1])
    z0 = d * transfer(partner_z0, partner, MAIN) + (1 - d) * z0
    z = np.sqrt(abar[2]) * z0 + np.sqrt(1 - abar[2]) / np.sqrt(1 - abar[1]) * (z - np.sqrt(abar[1]) * z0)
    np.testing.assert_allclose(found, experts_part(inputs, z, 2), rtol=0, atol=TOLERANCE)


def test_a_partner_that_enters_after_a_resolution_bridge_shares_the_fresh_noise() -> None:
    t, abar = paper_schedule(6)
    calls, others = Calls(), [LOWRES, PARTNER]
    inputs = toy_inputs(others, lowres__noise=(2, 2), bridge__noise=(4, 4))
    coop = [resolution_bridge("lowres", t[2]), latent_bridge(steps=(2, 3))]
    drawn(toy_recipe(coop, others), others, inputs, calls)
    (z,) = calls.latents("structure")[:1]
    z0 = (z - np.sqrt(1 - abar[2]) * MAIN.epsilon(inputs, z, t[2])) / np.sqrt(abar[2])
    wanted = np.sqrt(abar[2]) * transfer(z0, MAIN, PARTNER) + np.sqrt(1 - abar[2]) * inputs["bridge.noise"]
    np.testing.assert_allclose(calls.latents("partner")[0], wanted, rtol=0, atol=TOLERANCE)


def controls() -> dict[str, Any]:
    """Two ControlNets: features are the picture times 2; residuals are the hint and a middle of 1."""

    def control(size: float, latent: np.ndarray, hint: np.ndarray) -> list[np.ndarray]:
        assert len(hint) == len(latent)  # all branches are in the batch
        return [size * hint, np.full((len(latent), 1, 1, 1), size, np.float32)]

    return {
        "hint": {name: lambda picture: 2 * picture for name in ("edges", "pose")},
        "control": {
            name: lambda latent, timestep, context, hint, size=size: control(size, latent, hint)
            for name, size in (("edges", 1.0), ("pose", 10.0))
        },
    }


def adapter(scale: float, steps: tuple[int, int] | None = None) -> dict[str, Any]:
    return {"kind": "controlnet", "weights": "edges", "scale": scale, "steps": steps}


def test_controlnets_add_up_with_their_scales_inside_their_windows() -> None:
    inputs = toy_inputs(edges__image=(4, 4), pose__image=(4, 4))
    edges, pose = (np.concatenate([2 * inputs[f"{name}.image"]] * 2) for name in ("edges", "pose"))
    recipe = toy_recipe(
        [],
        adapters={"edges": adapter(0.5, (1, 3)), "pose": adapter(0.25, (2, 4))},
        adapters_of={"structure": ["edges", "pose"]},
    )
    calls = Calls()
    drawn(recipe, [], inputs, calls, **controls())
    silent, *given = calls.given("structure", "residuals")
    assert silent == []
    wanted = [0.5 * edges, 0.5 * edges + 2.5 * pose, 2.5 * pose]
    middle = [0.5, 3.0, 2.5]
    for (first, last), picture, one in zip(given, wanted, middle, strict=True):
        assert first.dtype == last.dtype == np.float32
        np.testing.assert_allclose(first, picture, rtol=1e-6)  # float32
        np.testing.assert_array_equal(last, np.full((2, 1, 1, 1), one))
    assert calls.given("texture", "residuals") == [[], []]


def test_a_controlnet_on_a_partner_acts_by_the_schedules_steps() -> None:
    inputs = toy_inputs([PARTNER], edges__image=(4, 4))
    recipe = toy_recipe(
        [latent_bridge(steps=(1, 4))],
        [PARTNER],
        adapters={"edges": adapter(1.0, (2, 3))},
        adapters_of={"partner": ["edges"]},
    )
    calls = Calls()
    drawn(recipe, [PARTNER], inputs, calls, **controls())
    assert [bool(given) for given in calls.given("partner", "residuals")] == [False, True, False]


@pytest.mark.parametrize("kind", ["controlnet", "t2i_adapter"])
@pytest.mark.parametrize(
    ("scale", "steps"),
    [(1.0, (2, 2)), (0.0, None), (0.0, (1, 3)), (1.0, (4, 6))],
    ids=["no step", "no scale", "no scale at some steps", "only steps of the other expert"],
)
def test_an_adapter_that_never_acts_needs_no_picture_and_no_network(
    kind: str, scale: float, steps: tuple[int, int] | None
) -> None:
    inputs = toy_inputs()
    table = adapter(scale, steps) | {"kind": kind}
    recipe = toy_recipe([], adapters={"edges": table}, adapters_of={"structure": ["edges"]})
    np.testing.assert_array_equal(drawn(recipe, [], inputs), drawn(toy_recipe([]), [], inputs))


def test_features_of_t2i_adapters_add_up_and_their_pictures_are_read_once() -> None:
    inputs = toy_inputs(depth__image=(4, 4), pose__image=(4, 4))
    depth, pose = (np.concatenate([inputs[f"{name}.image"]] * 2) for name in ("depth", "pose"))
    recipe = toy_recipe(
        [],
        adapters={
            "depth": adapter(0.5, (1, 3)) | {"kind": "t2i_adapter"},
            "pose": adapter(0.25, (2, 4)) | {"kind": "t2i_adapter"},
        },
        adapters_of={"structure": ["depth", "pose"]},
    )
    calls, read = Calls(), []

    def features(name: str, levels: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        def read_picture(picture: np.ndarray) -> list[np.ndarray]:
            read.append(name)
            return [picture * (level + 1) for level in range(levels)]

        return read_picture

    drawn(recipe, [], inputs, calls, features={"depth": features("depth", 2), "pose": features("pose", 1)})
    silent, *given = calls.given("structure", "features")
    assert silent == []
    wanted = [[0.5 * depth, 1.0 * depth], [0.5 * depth + 0.25 * pose, 1.0 * depth], [0.25 * pose]]
    for found, step in zip(given, wanted, strict=True):
        for one, level in zip(found, step, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, level, rtol=1e-6, atol=1e-7)  # float32
    assert calls.given("texture", "features") == [[], []]
    assert read == ["depth", "pose"]
    assert all(not residuals for residuals in calls.given("structure", "residuals"))
