"""Image to image and inpainting on small analytic models, against diffusion's own variable z_t in float64."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from graphs.sampling.test_program import linear_model, make_inputs
from graphs.sampling.test_schedule import exact_abar
from hypothesis import given
from hypothesis import strategies as st

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
from coopdraw.graphs.sampling.plan import ProgramSettings, picture_spaces, step_plan
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.sampling.schedule import make_schedule
from coopdraw.graphs.sampling.start import ImageStart, build_blend
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

LATENT, PICTURE = (1, 3, 4, 4), (1, 3, 8, 8)
GUIDANCE = Guidance({"text": 3.0})
SWITCH = ExpertSwitch("structure", "texture", 500)
GAINS = {"structure": 0.4, "texture": 0.6}
# float32 roundings of at most 12 steps, whose values are of order 1 to 10.
TOLERANCE = 2e-5


def space(name: str, latent: tuple[int, ...] = LATENT) -> Space:
    """A VAE with latents of half the size: blocks of four pixels are averaged and halved, and the way back."""
    type = TensorType(DType.FLOAT32, latent)
    size = tuple(2 * extent for extent in latent[2:])
    builder = GraphBuilder(f"{name}.decode")
    doubled = builder.add("mul", builder.input("latent", type), builder.constant(np.float32(2.0)))
    image = builder.add("resize", doubled, size=size, mode="nearest", coordinates="asymmetric")
    decode = Module(builder.build([image], ["image"]))
    builder = GraphBuilder(f"{name}.encode")
    picture = builder.input("image", TensorType(DType.FLOAT32, (*latent[:2], *size)))
    pooled = builder.add("avg_pool2d", picture, kernel=(2, 2), stride=(2, 2))
    halved = builder.add("mul", pooled, builder.constant(np.float32(0.5)))
    return Space(type, decode, Module(builder.build([halved], ["latent"])))


def encoded(image: np.ndarray) -> np.ndarray:
    """The picture's z0 in float64."""
    signed = image.astype(np.float64) * 2 - 1
    return signed.reshape(1, 3, 4, 2, 4, 2).mean((3, 5)) * 0.5


def program(settings: ProgramSettings, others: dict[str, tuple[int, ...]] | None = None) -> Module:
    """The main experts and other models with the latents given."""
    networks = {name: Network({2: linear_model(name, gain, 2, shape=LATENT)}, "", {}) for name, gain in GAINS.items()}
    spaces = {MAIN: space("vae")}
    for name, latent in (others or {}).items():
        networks[name] = Network({2: linear_model(name, 0.5, 2, shape=latent)}, f"{name}.", {})
        spaces[name] = space(f"{name}_vae", latent)
    module = build_program(settings, networks, spaces)
    verify(module)
    return module


def settings(strength: float | None, *, steps: int = 20, mask: bool = False, keep: bool = False) -> ProgramSettings:
    start = None if strength is None else ImageStart(strength, mask, keep)
    return ProgramSettings(steps, GUIDANCE, SWITCH, start=start)


def inputs_for(module: Module) -> dict[str, np.ndarray]:
    base = make_inputs(settings(None), vector=True, shape=LATENT)
    found = {}
    for index, value in enumerate(module.entry.inputs):
        generator = np.random.default_rng(index)
        if value.name in ("image", "mask"):
            found[value.name] = generator.random(value.type.shape, np.float32)
        else:
            kind = ".".join(value.name.split(".")[-2:])
            noise = generator.standard_normal(value.type.shape, np.float32)
            found[value.name] = base[kind] if kind in base and base[kind].shape == value.type.shape else noise
    return found


def reference(inputs: dict[str, np.ndarray], first: int, steps: int = 20) -> np.ndarray:
    """z_0 of DDIM from q(z_t | z_0) at step `first` of `steps`; with a mask it is q of the picture outside, always."""
    t = [math.floor(999 * (1 - Fraction(i, steps))) for i in range(steps)]
    abar = [*(exact_abar(timestep) for timestep in t), 1.0]
    z0, noise = encoded(inputs["image"]), inputs["noise"].astype(np.float64)
    inside = inputs["mask"][:, :, ::2, ::2] >= 0.5 if "mask" in inputs else np.ones((1, 1, 4, 4), bool)
    z = np.sqrt(abar[first]) * z0 + np.sqrt(1 - abar[first]) * noise
    for i in range(first, steps):
        gain = GAINS["structure" if i == 0 or t[i - 1] >= 500 else "texture"]
        shifts = {b: inputs[f"context.{b}"].mean() + inputs[f"vector.{b}"].mean() for b in ("uncond", "text")}
        text, uncond = (gain * z + t[i] / 1000 + shifts[branch] for branch in ("text", "uncond"))
        epsilon = uncond + 3.0 * (text - uncond)
        predicted = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
        z = np.sqrt(abar[i + 1]) * predicted + np.sqrt(1 - abar[i + 1]) * epsilon
        z = np.where(inside, z, np.sqrt(abar[i + 1]) * z0 + np.sqrt(1 - abar[i + 1]) * noise)
    return z


# The shortened schedule


def test_twenty_steps_at_strength_0_6() -> None:
    schedule = make_schedule(20, 0.6)
    assert [step.index for step in schedule] == list(range(12))
    assert [step.t for step in schedule] == [599, 549, 499, 449, 399, 349, 299, 249, 199, 149, 99, 49]
    for step in schedule:
        abar = exact_abar(step.t)
        # float64 products of up to a thousand factors on either side.
        assert step.sigma == pytest.approx(math.sqrt((1 - abar) / abar), rel=1e-9)


@pytest.mark.parametrize(("switch", "structure"), [("previous", 3), ("current", 2)])
def test_the_expert_switch_looks_at_the_whole_schedule(switch: str, structure: int) -> None:
    rule = ExpertSwitch("structure", "texture", 500, switch)  # type: ignore[arg-type]
    plan = step_plan(ProgramSettings(20, GUIDANCE, rule, start=ImageStart(0.6)))
    assert [planned.model for planned in plan] == ["structure"] * structure + ["texture"] * (12 - structure)


@given(st.integers(1, 1000), st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
def test_a_shortened_schedule_is_the_end_of_the_whole(steps: int, strength: float, other: float) -> None:
    schedule, whole = make_schedule(steps, strength), make_schedule(steps)
    exact = Fraction(strength) * steps
    # diffusers multiplies in floating point, which may round up to the next integer.
    assert len(schedule) == max(1, math.floor(exact)) or len(schedule) - exact < Fraction(1, 10**9)
    assert [step.index for step in schedule] == list(range(len(schedule)))
    assert [(s.t, s.sigma, s.sigma_next) for s in schedule] == [
        (s.t, s.sigma, s.sigma_next) for s in whole[-len(schedule) :]
    ]
    sigmas = [step.sigma for step in schedule] + [schedule[-1].sigma_next]
    assert all(high >= low for high, low in itertools.pairwise(sigmas))
    assert sigmas[-1] == 0.0
    low, high = sorted((strength, other))
    assert len(make_schedule(steps, low)) <= len(make_schedule(steps, high))


def test_the_ends_of_the_strength() -> None:
    assert make_schedule(20, 1.0) == make_schedule(20)
    (last,) = make_schedule(20, 1e-9)
    assert (last.index, last.t, last.sigma_next) == (0, 49, 0.0)


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.0001, math.nan])
def test_impossible_strengths(strength: float) -> None:
    with pytest.raises(CoopdrawError, match="more than 0 and at most 1"):
        make_schedule(20, strength)


# The program


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("strength", "first"), [(0.6, 8), (1.0, 0), (0.01, 19), (0.3, 14)])
def test_the_loop(strength: float, first: int, mask: bool, optimised: bool) -> None:
    module = program(settings(strength, mask=mask))
    inputs = inputs_for(module)
    assert ("mask" in inputs) is mask
    if optimised:
        module, _ = PassManager(basic_passes()).run(module)
    wanted = reference(inputs, first)
    found = interpreter.run(module, inputs)
    np.testing.assert_allclose(found["latent"], wanted, atol=TOLERANCE * np.abs(wanted).max())


def test_inputs_functions_and_calls() -> None:
    module = program(settings(0.6, mask=True))
    assert [value.name for value in module.entry.inputs][:3] == ["noise", "image", "mask"]
    assert module.entry.output_names == ("image", "latent")
    calls = [str(node.attributes["function"]) for node in module.entry.nodes if node.operator == "call"]
    assert calls.count("vae.encode") == 1
    assert calls.count("start.blend") == 12
    assert calls.count("structure.unet") == 3
    assert sorted(name for name in module.functions if name.startswith("start.")) == ["start.blend"]


def test_an_expert_that_never_runs_is_not_in_the_module() -> None:
    module = program(settings(0.3))
    assert "structure.unet" not in module.functions
    assert "texture.unet" in module.functions


def test_a_mask_of_ones_is_image_to_image() -> None:
    masked, plain = program(settings(0.6, mask=True, keep=True)), program(settings(0.6))
    inputs = inputs_for(plain)
    wanted = interpreter.run(plain, inputs)
    found = interpreter.run(masked, inputs | {"mask": np.ones((1, 1, 8, 8), np.float32)})
    # 1 * x + 0 * y is x, bit for bit.
    np.testing.assert_array_equal(found["latent"], wanted["latent"])
    np.testing.assert_array_equal(found["image"], wanted["image"])


@pytest.mark.parametrize("keep", [False, True])
def test_a_mask_of_zeros_gives_the_picture_back(keep: bool) -> None:
    module = program(settings(0.6, mask=True, keep=keep))
    inputs = inputs_for(module) | {"mask": np.zeros((1, 1, 8, 8), np.float32)}
    found = interpreter.run(module, inputs)
    z0 = encoded(inputs["image"])
    np.testing.assert_allclose(found["latent"], z0, atol=1e-6)  # float32 means of four pixels
    trip = z0.repeat(2, 2).repeat(2, 3) + 0.5  # doubled by the decoder, then [-1, 1] to [0, 1]
    # Without `keep_pixels` it has been through the VAE; with it, no bit of the picture changes.
    wanted = inputs["image"] if keep else np.clip(trip, 0, 1)
    np.testing.assert_allclose(found["image"], wanted, atol=0 if keep else 1e-6)


def test_a_mask_is_cut_at_one_half_and_taken_at_the_nearest_pixel() -> None:
    module = program(settings(0.6, mask=True))
    inputs = inputs_for(module)
    mask = np.zeros((1, 1, 8, 8), np.float32)
    mask[..., 1::2] = mask[..., 1::2, :] = 1.0  # never the upper left one of four pixels, which is the nearest
    mask[..., 0, 0], mask[..., 2, 4], mask[..., 4, 2] = 0.5, 1.0, 0.499
    found = interpreter.run(module, inputs | {"mask": mask})["latent"]
    changed = np.abs(found - encoded(inputs["image"])).max(1) > 1e-3
    assert [tuple(place) for place in np.argwhere(changed[0])] == [(0, 0), (1, 2)]


def test_kept_pixels_are_mixed_where_the_mask_is_grey() -> None:
    module, through = program(settings(0.6, mask=True, keep=True)), program(settings(0.6, mask=True))
    inputs = inputs_for(module)
    found, painted = (interpreter.run(one, inputs)["image"] for one in (module, through))
    wanted = inputs["mask"] * painted.astype(np.float64) + (1 - inputs["mask"]) * inputs["image"]
    np.testing.assert_allclose(found, wanted, atol=1e-6)  # three float32 operations on values up to 1


def test_the_blend_is_exact_at_both_ends() -> None:
    type = TensorType(DType.FLOAT32, (1, 2, 1, 2))
    graph = build_blend(type, "blend")
    generator = np.random.default_rng(0)
    latent, original, noise = (generator.standard_normal(type.shape, np.float32) for _ in range(3))
    mask = np.array([[[[1.0, 0.0]]]], np.float32)
    feeds = {"latent": latent, "original": original, "noise": noise, "sigma": np.float32(0.25), "mask": mask}
    blended = interpreter.run(Module(graph), feeds)["blended"]
    np.testing.assert_array_equal(blended[..., 0], latent[..., 0])
    np.testing.assert_array_equal(blended[..., 1], (original + np.float32(0.25) * noise)[..., 1])


# With other models


def with_bridges(
    start: ImageStart, *bridges: LatentBridge, resolutions: tuple[ResolutionBridge, ...] = ()
) -> ProgramSettings:
    return ProgramSettings(20, GUIDANCE, SWITCH, bridges, resolutions, start=start)


def test_a_partner_starts_from_the_picture_and_not_from_noise() -> None:
    """With strength 1 and no feedback its first prediction becomes the latent of a run of one step."""
    bridge = LatentBridge("partner", 1.0, (0, 1), share_noise=False)
    module = program(with_bridges(ImageStart(0.05), bridge), {"partner": LATENT})
    inputs = inputs_for(module)
    found = interpreter.run(module, inputs)["latent"]
    abar = exact_abar(49)
    z = np.sqrt(abar) * encoded(inputs["image"]) + np.sqrt(1 - abar) * inputs["partner.noise"]
    shifts = {b: sum(inputs[f"partner.{k}.{b}"].mean() for k in ("context", "vector")) for b in ("uncond", "text")}
    text, uncond = (0.5 * z + 49 / 1000 + shifts[branch] for branch in ("text", "uncond"))
    wanted = (z - np.sqrt(1 - abar) * (uncond + 3.0 * (text - uncond))) / np.sqrt(abar)
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_spaces_that_need_an_encoder() -> None:
    early, late = LatentBridge("early", 0.5, (0, 3)), LatentBridge("late", 0.5, (2, 4))
    low = ResolutionBridge("bridge", "low", 300)

    def spaces(start: ImageStart, resolutions: tuple[ResolutionBridge, ...] = ()) -> tuple[str, ...]:
        wanted = with_bridges(start, early, late, resolutions=resolutions)
        return picture_spaces(wanted, step_plan(wanted))

    assert spaces(ImageStart(0.6)) == ("main", "early")
    assert spaces(ImageStart(0.6), (low,)) == ("low", "early")
    assert spaces(ImageStart(0.6, mask=True), (low,)) == ("low", "early", "main")
    wanted = settings(None)
    assert picture_spaces(wanted, step_plan(wanted)) == ()


def test_a_low_resolution_start_is_blended_in_the_space_that_runs() -> None:
    small = (1, 3, 2, 2)
    start = ImageStart(0.6, mask=True)
    module = program(with_bridges(start, resolutions=(ResolutionBridge("bridge", "low", 300),)), {"low": small})
    calls = [str(node.attributes["function"]) for node in module.entry.nodes if node.operator == "call"]
    assert [name for name in calls if name.startswith("start.")] == ["start.blend"] * 6 + ["start.blend.3x4x4"] * 7
    assert [calls.count(name) for name in ("vae.encode", "low_vae.encode")] == [1, 1]
    inputs = inputs_for(module)
    found = interpreter.run(module, inputs)["latent"]
    inside = np.broadcast_to(inputs["mask"][:, :, ::2, ::2] >= 0.5, found.shape)
    np.testing.assert_allclose(found[~inside], encoded(inputs["image"])[~inside], atol=1e-6)
    assert np.abs(found - encoded(inputs["image"]))[inside].min() > 1e-3


def test_two_spaces_of_one_vae_encode_the_picture_once() -> None:
    bridge = LatentBridge("twin", 0.5, (0, 12))
    networks = {name: Network({2: linear_model(name, gain, 2, shape=LATENT)}, "", {}) for name, gain in GAINS.items()}
    networks["twin"] = Network({2: linear_model("twin", 0.5, 2, shape=LATENT)}, "twin.", {})
    shared = space("vae")
    module = build_program(with_bridges(ImageStart(0.6), bridge), networks, {MAIN: shared, "twin": shared})
    calls = [str(node.attributes["function"]) for node in module.entry.nodes if node.operator == "call"]
    assert calls.count("vae.encode") == 1


def test_a_space_without_an_encoder_is_named() -> None:
    networks = {name: Network({2: linear_model(name, gain, 2, shape=LATENT)}, "", {}) for name, gain in GAINS.items()}
    whole = space("vae")
    with pytest.raises(CoopdrawError, match="main need a VAE that can encode"):
        build_program(settings(0.6), networks, {MAIN: Space(whole.latent, whole.decode, None)})
