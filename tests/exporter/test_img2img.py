"""Starting from a picture: the host loop against the paper's variables, the graph against the host loop, the recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from exporter.shapes import EXAMPLE, compiled, example_text, write_recipe
from exporter.toy_pipelines import (
    MAIN,
    PARTNER,
    TEXTURE,
    Calls,
    Fusion,
    Toy,
    ddim,
    paper_schedule,
    toy_inputs,
    toy_models,
    toy_recipe,
    transfer,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from runtime.tiny_bundle import write_bundle

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.host_loop import run_host_loop
from coopdraw.exporter.loading import program_settings
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sample_pictures import smooth_picture, soft_disc
from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.coop import MAIN as MAIN_SPACE
from coopdraw.graphs.sampling.denoising import Network
from coopdraw.graphs.sampling.program import Space, build_program
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

# Networks see float32 (6e-8 of values up to about 15, where sigma is large); a wrong formula is off by more than 1e-2.
TOLERANCE = 2e-5
LOWRES = Toy("lowres", (2, 2), gain=0.55, bias=0.2, brightness=1.3)
LARGE = replace(PARTNER, size=(8, 8))


def start(strength: float, **keys: Any) -> dict[str, Any]:
    return {"kind": "image", "strength": strength, **keys}


def picture_inputs(others: Sequence[Toy] = (), **noises: tuple[int, int]) -> dict[str, np.ndarray]:
    """Inputs of toys with a picture, and a mask of all levels, in which two blocks are unlike their first pixel."""
    generator = np.random.default_rng(3)
    pictures = {"image": (1, 3, *MAIN.size), "mask": (1, 1, *MAIN.size)}
    inputs = toy_inputs(others, **noises)
    inputs |= {name: generator.random(shape).astype(np.float32) for name, shape in pictures.items()}
    inputs["mask"][..., :2, :2] = [[0.9, 0.1], [0.2, 0.3]]
    inputs["mask"][..., 2:, 2:] = [[0.1, 0.9], [0.8, 0.7]]
    return inputs


def drawn(recipe: Recipe, others: Sequence[Toy], inputs: Mapping[str, np.ndarray], calls: Calls | None = None):
    """The host loop's outputs."""
    progress: list[tuple[int, int]] = []
    found = run_host_loop(recipe, toy_models(others, calls), inputs, lambda *step: progress.append(step))
    assert progress == [(step, len(progress)) for step in range(1, len(progress) + 1)]
    return found


def paper(inputs: Mapping[str, np.ndarray], first: int, mask: bool, fusion: Fusion | None = None) -> np.ndarray:
    """z_0 of 6 steps from step `first` on, in z_t and predicted noise: q(z_t | z_0) of the picture at the start, and
    after each step outside of the mask; Algorithm 1 of arXiv 2312.16486 with a partner that starts from it, too.
    """
    t, abar = paper_schedule(6)

    def noised(toy: Toy, noise: np.ndarray, i: int) -> np.ndarray:
        # A picture is what a VAE without any loss decodes to it.
        z0 = transfer(inputs["image"].astype(np.float64) * 2 - 1.1, Toy("picture"), toy)
        return np.sqrt(abar[i]) * z0 + np.sqrt(1 - abar[i]) * noise

    inside = inputs["mask"] >= 0.5 if mask else True
    z = noised(MAIN, inputs["noise"], first)
    partner_z = noised(fusion.partner, fusion.noise, first) if fusion else z
    for i in range(first, 6):
        toy = MAIN if i == 0 or t[i - 1] >= 500 else TEXTURE
        epsilon = toy.epsilon(inputs, z, t[i])
        if fusion and fusion.window[0] <= i - first < fusion.window[1]:
            z0 = (z - np.sqrt(1 - abar[i]) * epsilon) / np.sqrt(abar[i])
            if i - first == fusion.window[0] > 0:
                entered = transfer(z0, MAIN, fusion.partner)
                partner_z = np.sqrt(abar[i]) * entered + np.sqrt(1 - abar[i]) * fusion.noise
            partner_epsilon = fusion.partner.epsilon(inputs, partner_z, t[i])
            partner_z0 = (partner_z - np.sqrt(1 - abar[i]) * partner_epsilon) / np.sqrt(abar[i])
            z0 = fusion.strength * transfer(partner_z0, fusion.partner, MAIN) + (1 - fusion.strength) * z0
            if fusion.feedback:
                returned = transfer(z0, MAIN, fusion.partner)
                partner_epsilon = (partner_z - np.sqrt(abar[i]) * returned) / np.sqrt(1 - abar[i])
            epsilon = (z - np.sqrt(abar[i]) * z0) / np.sqrt(1 - abar[i])
            partner_z = ddim(partner_z, partner_epsilon, abar[i], abar[i + 1])
        z = np.where(inside, ddim(z, epsilon, abar[i], abar[i + 1]), noised(MAIN, inputs["noise"], i + 1))
    return z


# The host loop


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.99, 1), (0.5, 3), (0.34, 4), (1 / 6, 5), (0.01, 5)])
def test_the_host_loop_starts_from_the_picture(strength: float, first: int, mask: bool) -> None:
    inputs, calls = picture_inputs(), Calls()
    found = drawn(toy_recipe([], start=start(strength, mask=mask)), [], inputs, calls)
    np.testing.assert_allclose(found["latent"], paper(inputs, first, mask), rtol=0, atol=TOLERANCE)
    t, _ = paper_schedule(6)
    experts = ["structure"] * 4 + ["texture"] * 2  # by the t before each step in the whole schedule
    assert calls.who() == list(zip(experts[first:], t[first:], strict=True))


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("window", [(0, 4), (0, 2), (1, 3)])
@pytest.mark.parametrize("size", [(4, 4), (8, 8), (2, 2)])
def test_a_partner_of_the_host_loop(size: tuple[int, int], window: tuple[int, int], feedback: bool, mask: bool) -> None:
    partner = replace(PARTNER, size=size)
    inputs = picture_inputs([partner], partner__noise=size)
    bridge = {"bridge": "latent", "with": "partner", "strength": 0.3, "steps": window, "feedback": feedback}
    recipe = toy_recipe([bridge], [partner], start=start(0.7, mask=mask))
    noise = inputs["noise" if size == MAIN.size else "partner.noise"]
    wanted = paper(inputs, 2, mask, Fusion(partner, noise, 0.3, window, feedback))
    np.testing.assert_allclose(drawn(recipe, [partner], inputs)["latent"], wanted, rtol=0, atol=TOLERANCE)


def test_what_arrives_from_a_low_resolution_is_restored_outside_of_the_mask() -> None:
    inputs, calls = picture_inputs([LOWRES], lowres__noise=(2, 2), bridge__noise=(4, 4)), Calls()
    drawn(toy_recipe([resolution_bridge(300)], [LOWRES], start=start(0.7, mask=True)), [LOWRES], inputs, calls)
    t, abar = paper_schedule(6)
    names = [name for name, _ in calls.who()]
    assert calls.who()[names.index("texture")] == ("texture", t[5])
    given = calls.latents("texture")[0]
    z0 = transfer(inputs["image"].astype(np.float64) * 2 - 1.1, Toy("picture"), MAIN)
    noised = np.sqrt(abar[5]) * z0 + np.sqrt(1 - abar[5]) * inputs["bridge.noise"]
    outside = np.broadcast_to(inputs["mask"] < 0.5, given.shape)
    np.testing.assert_allclose(given[outside], noised[outside], rtol=0, atol=TOLERANCE)
    assert np.abs(given - noised)[~outside].min() > 1e-4


def test_kept_pixels_of_the_host_loop() -> None:
    inputs = picture_inputs()
    plain, kept = (
        drawn(toy_recipe([], start=start(0.5, mask=True, keep_pixels=keep)), [], inputs)["image"]
        for keep in (False, True)
    )
    wanted = inputs["mask"] * plain.astype(np.float64) + (1 - inputs["mask"]) * inputs["image"]
    np.testing.assert_allclose(kept, wanted, rtol=0, atol=1e-7)  # one rounding to float32
    assert np.abs(kept - plain).max() > 1e-2


# The graph, interpreted, against the host loop


def toy_program(recipe: Recipe, others: Sequence[Toy]) -> Module:
    """The toys as graphs, assembled as `compile` does it."""
    networks = {toy.name: Network({2: toy_unet(toy)}, "", {}) for toy in (MAIN, TEXTURE)}
    networks |= {toy.name: Network({2: toy_unet(toy)}, f"{toy.name}.", {}) for toy in others}
    spaces = {MAIN_SPACE: toy_space("vae", MAIN)} | {toy.name: toy_space(f"{toy.name}_vae", toy) for toy in others}
    module = build_program(program_settings(recipe), networks, spaces)
    verify(module)
    return module


def toy_unet(toy: Toy) -> Module:
    builder = GraphBuilder(f"{toy.name}.unet")
    latent = builder.input("latent", TensorType(DType.FLOAT32, (2, 3, *toy.size)))
    timestep = builder.input("timestep", TensorType(DType.FLOAT32, (1,)))
    context = builder.input("context", TensorType(DType.FLOAT32, (2, 3)))
    tilt = affine(builder, timestep, toy.gain / 2000, toy.gain)
    shift = affine(builder, builder.add("reshape", context, shape=(2, 3, 1, 1)), toy.bias, 0.0)
    return Module(builder.build([builder.add("add", builder.add("mul", latent, tilt), shift)], ["epsilon"]))


def toy_space(name: str, toy: Toy) -> Space:
    type = TensorType(DType.FLOAT32, (1, 3, *toy.size))
    halves = {
        "decode": ("latent", "image", toy.brightness, 0.1),
        "encode": ("image", "latent", toy.loss / toy.brightness, 0.05 - 0.1 * toy.loss / toy.brightness),
    }
    modules = {}
    for half, (source, target, factor, offset) in halves.items():
        builder = GraphBuilder(f"{name}.{half}")
        modules[half] = Module(builder.build([affine(builder, builder.input(source, type), factor, offset)], [target]))
    return Space(type, modules["decode"], modules["encode"])


def affine(builder: GraphBuilder, x: Any, factor: float, offset: float) -> Any:
    scaled = builder.add("mul", x, builder.constant(np.float32(factor)))
    return builder.add("add", scaled, builder.constant(np.float32(offset)))


def latent_bridge(**keys: Any) -> dict[str, Any]:
    return {"bridge": "latent", "with": "partner", "strength": 0.4, **keys}


def resolution_bridge(at: int) -> dict[str, Any]:
    return {"bridge": "resolution", "from": "lowres", "at": at}


@pytest.mark.parametrize("keys", [{}, {"mask": True}, {"mask": True, "keep_pixels": True}])
@pytest.mark.parametrize(
    ("coop", "others"),
    [
        ([], []),
        ([latent_bridge()], [PARTNER]),
        ([latent_bridge(feedback=False, share_noise=False)], [PARTNER]),
        ([latent_bridge(steps=(1, 3))], [LARGE]),
        ([resolution_bridge(300)], [LOWRES]),
        ([resolution_bridge(499)], [replace(LOWRES, size=(3, 3))]),
        ([resolution_bridge(300), latent_bridge(steps=(0, 3))], [LOWRES, LARGE]),
    ],
)
@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_the_graph_is_the_host_loop(
    strength: float, coop: list[dict[str, Any]], others: list[Toy], keys: dict[str, bool]
) -> None:
    recipe = toy_recipe(coop, others, start=start(strength, **keys))
    sizes = {f"{toy.name}__noise": toy.size for toy in others}
    inputs = picture_inputs(others, bridge__noise=MAIN.size, **sizes)
    module = toy_program(recipe, others)
    found = interpreter.run(module, {value.name: inputs[value.name] for value in module.entry.inputs})
    wanted = drawn(recipe, others, inputs)
    for name in ("latent", "image"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=TOLERANCE)


# Whole compiles, verified against eager Cells

START = """
[start]
kind = "image"
strength = 0.75
"""
MASKED = START + "mask = true\nkeep_pixels = true\n"


def short(recipe: str, folder: Path, extra: str, steps: int = 4) -> Path:
    """An example's recipe with few steps, windows that fit them and more tables."""
    text = example_text(recipe).replace("steps = 20", f"steps = {steps}")
    return write_recipe(folder, lambda _: text.replace("steps = [0, 12]", "steps = [0, 2]") + extra)


def invoke(*arguments: object) -> Result:
    """Runs `coopdraw` in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="coopdraw")


def refused(*arguments: object) -> str:
    """Standard error of a command that must refuse its input."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def manifest_of(bundle: Path) -> dict[str, Any]:
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert isinstance(manifest, dict)
    return manifest


def test_time_decoupled_experts_from_a_picture(tmp_path: Path) -> None:
    bundle = compiled(short("recipe", tmp_path, START), tmp_path / "x.bundle")
    manifest = manifest_of(bundle)
    assert [(step["step"], step["t"], step["model"]) for step in manifest["steps"]] == [
        (0, 749, "structure"),
        (1, 499, "structure"),
        (2, 249, "texture"),
    ]
    meanings = {spec["name"]: spec["meaning"] for spec in manifest["inputs"]}
    assert meanings["image"] == "picture to start from, RGB in [0, 1]"
    assert "mask" not in meanings
    assert manifest["recipe"]["start"] == {"kind": "image", "strength": 0.75, "mask": False, "keep_pixels": False}
    assert [function["name"] for function in manifest["functions"]].count("vae.encode") == 1


def test_an_expert_that_is_skipped_is_not_in_the_file(tmp_path: Path) -> None:
    recipe = short("recipe", tmp_path, START.replace("0.75", "0.25"))
    bundle = compiled(recipe, tmp_path / "x.bundle", "--no-verify")
    manifest = manifest_of(bundle)
    assert {function["name"] for function in manifest["functions"]} >= {"texture.unet", "vae.encode"}
    assert not any("structure" in name for name in (*manifest["weights"], *manifest["models"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "extra"),
    [("coop", START), ("edges", START), ("coop", MASKED), ("resolution", MASKED.replace("0.75", "1.0"))],
    ids=["feedback", "controlnet without feedback", "inpainting with a partner", "inpainting from a low resolution"],
)
def test_cooperating_models_from_a_picture(recipe: str, extra: str, tmp_path: Path) -> None:
    compiled(short(recipe, tmp_path, extra), tmp_path / "x.bundle")


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inpainting")
    return compiled(short("recipe", folder, MASKED), folder / "inpaint.bundle")


def test_inpainting_from_files(inpainting: Path, tmp_path: Path) -> None:
    old, mask, new = EXAMPLE / "circle.png", EXAMPLE / "mask.png", tmp_path / "new.png"
    prompt = ("run", inpainting, "--prompt", "red cross striped yellow", "-o", new)
    for image in (old, f"image={old}"):
        done = invoke(*prompt, "--image", image, "--mask", mask)
        assert done.exit_code == 0, done.stderr
        before, after = (np.asarray(Image.open(path).convert("RGB"), int) for path in (old, new))
        painted = np.asarray(Image.open(mask).convert("L")) > 127
        assert (after == before).all(axis=2)[~painted].all()
        assert np.abs(after - before)[painted].mean() > 10


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), ("image, mask", "--image PNG", "--mask PNG")),
        (("--image", EXAMPLE / "circle.png"), ("inputs mask", "--mask PNG")),
        (("--image", "edges=x.png"), ("--image edges", "it has none")),
        (("--image", "nothing.png", "--mask", "m.png"), ("nothing.png",)),
    ],
)
def test_missing_pictures_are_named(
    inpainting: Path, tmp_path: Path, options: tuple[Any, ...], parts: tuple[str, ...]
) -> None:
    errors = refused("run", inpainting, "--prompt", "red ring", "-o", tmp_path / "never.png", *options)
    assert all(part in errors for part in parts), errors
    assert not (tmp_path / "never.png").exists()


def test_a_bundle_without_a_start_takes_no_pictures(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny.bundle")
    for option, table in (("--image", "[start]"), ("--mask", "mask = true")):
        errors = refused("run", bundle, "--prompt", "red", "-o", tmp_path / "x.png", option, EXAMPLE / "mask.png")
        assert table in errors


def test_verify_insists_on_the_same_start(inpainting: Path, tmp_path: Path) -> None:
    recipe = short("recipe", tmp_path, MASKED.replace("0.75", "0.5"))
    errors = refused("verify", inpainting, "--recipe", recipe)
    assert "start.strength is 0.5, but the bundle was compiled with 0.75" in errors


# The recipe


@pytest.mark.parametrize(
    ("extra", "parts"),
    [
        ('[start]\nkind = "image"\nstrength = 0\n', ("start.strength", "greater than 0")),
        ('[start]\nkind = "image"\nstrength = 1.5\n', ("start.strength", "less than or equal to 1")),
        ('[start]\nkind = "image"\n', ("start.strength is missing",)),
        ("[start]\nmask = true\n", ("start.kind is missing", "start.strength is missing")),
        ('[start]\nkind = "noise"\nstrength = 1\n', ("start.kind", "'image'")),
        (START + "mak = true\n", ("did you mean start.mask?",)),
        (START + "keep_pixels = true\n", ("start.keep_pixels", "add mask = true")),
        (START + "[[coop]]\nbridge = 'latent'\nwith = 'vae'\nsteps = [0, 16]\n", ("coop.0.steps", "15 steps", "of 20")),
        (
            START + "[[coop]]\nbridge = 'resolution'\nfrom = 'vae'\nat = 800\n",
            ("coop.0.at", "t = 749", "less than 749"),
        ),
    ],
)
def test_refused_recipes(extra: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    path = write_recipe(tmp_path, lambda text: text + extra)
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_windows_count_the_steps_that_run(tmp_path: Path) -> None:
    partner = "[models.partner]\nkind = 'unet'\nweights = 'weights/partner_unet'\n"
    bridge = "[[coop]]\nbridge = 'latent'\nwith = 'partner'\n"
    recipes = [
        load_recipe(write_recipe(tmp_path, lambda text, steps=steps: text + START + partner + bridge + steps))
        for steps in ("", "steps = [0, 15]\n")
    ]
    windows = [program_settings(recipe).latent_bridges[0].window for recipe in recipes]
    assert windows == [(0, 15), (0, 15)]


# Pictures for verification


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
def test_sample_pictures_have_any_size(batch: int, height: int, width: int) -> None:
    picture, mask = smooth_picture((batch, 3, height, width)), soft_disc((batch, 1, height, width))
    assert picture.shape == (batch, 3, height, width)
    assert mask.shape == (batch, 1, height, width)
    assert picture.dtype == mask.dtype == np.float32
    assert min(picture.min(), mask.min()) >= 0
    assert max(picture.max(), mask.max()) <= 1


def test_a_sample_mask_has_an_inside_an_outside_and_an_edge() -> None:
    mask = soft_disc((1, 1, 64, 64))
    assert (mask == 0).any()
    assert (mask == 1).any()
    assert ((mask > 0) & (mask < 1)).any()
