"""Recipes with T2I-Adapters and ControlNets: compiled, verified against the host loop, run and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter.models.shapes import DATA, golden, relative_error
from exporter.random_models import COLOUR, GREY, write_t2i_adapter
from exporter.shapes import EXAMPLE, compiled, coopdraw, write_recipe

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.loading import Pipeline, load_pipeline
from coopdraw.exporter.models.configuration import T2IAdapterConfig
from coopdraw.exporter.networks import load_t2i_adapter, load_unet
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.graphs.interpreter import run as interpret
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.session import Session

FILES = ("sampling.mindir", "sampling_variables/data_0")
# As in tests/exporter/models: float32 sums in another order than PyTorch's.
GOLDEN_TOLERANCE = 2e-6


def change(
    adapters: Mapping[str, Mapping[str, Any]], of: Mapping[str, Iterable[str]], steps: int = 4, extra: str = ""
) -> Callable[[str], str]:
    """The demo's recipe with few steps, adapters, and models that have them; steps 0 to 2 of 4 are structure's."""

    def changed(text: str) -> str:
        text = text.replace("steps = 20", f"steps = {steps}")
        for model, names in of.items():
            text = text.replace(f"[models.{model}]\n", f"[models.{model}]\nadapters = {json.dumps(list(names))}\n")
        tables = (f"[adapters.{name}]\n{_toml(table)}" for name, table in adapters.items())
        return text + extra + "".join(tables)

    return changed


def _toml(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def t2i(weights: str = "depth", **keys: Any) -> dict[str, Any]:
    return {"kind": "t2i_adapter", "weights": weights, **keys}


def controlnet(**keys: Any) -> dict[str, Any]:
    return {"kind": "controlnet", "weights": "weights/partner_controlnet", **keys}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the T2I-Adapters `depth` (colour) and `pose` (grey)."""
    write_t2i_adapter(tmp_path / "depth", COLOUR, seed=1)
    write_t2i_adapter(tmp_path / "pose", GREY, seed=2)
    return tmp_path


def manifest(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return content


def loaded(folder: Path, changed: Callable[[str], str]) -> Pipeline:
    recipe = load_recipe(write_recipe(folder, changed))
    return load_pipeline(recipe, CheckpointSource(recipe))


@pytest.mark.slow
def test_both_kinds_on_one_unet_match_the_host_loop_and_read_pictures(folder: Path) -> None:
    adapters = {
        "depth": t2i("depth", scale=0.8, steps=[0, 2]),
        "pose": t2i("pose", scale=-0.5, steps=[1, 3]),
        "edges": controlnet(scale=0.3, steps=[2, 4]),
        "late": t2i("depth", scale=0.4),
    }
    of = {"structure": ["depth", "edges", "pose"], "texture": ["late"]}
    bundle = compiled(write_recipe(folder, change(adapters, of)), folder / "x.bundle")
    alone = coopdraw("verify", bundle)
    assert alone.returncode == 0, alone.stderr

    described = manifest(bundle)
    pictures = {spec["name"]: spec for spec in described["inputs"] if spec["name"].endswith(".image")}
    shapes = {name: spec["shape"] for name, spec in pictures.items()}
    colour, grey = [1, 3, 64, 64], [1, 1, 64, 64]
    assert shapes == {"depth.image": colour, "pose.image": grey, "edges.image": colour, "late.image": colour}
    assert pictures["pose.image"]["meaning"] == "control picture, grey in [0, 1] for pose"
    assert [step["adapters"] for step in described["steps"]] == [
        ["depth"],
        ["depth", "pose"],
        ["edges", "pose"],
        ["late"],
    ]
    assert {name: described["models"][name]["kind"] for name in adapters} == {
        name: table["kind"] for name, table in adapters.items()
    }
    module = read_mindir(bundle / "sampling.mindir")
    called = [node.attributes.get("function") for node in module.entry.nodes if node.operator == "call"]
    assert [called.count(f"{name}.t2i_adapter") for name in ("depth", "pose", "late")] == [1, 1, 1]

    options = [text for name in adapters for text in ("--image", f"{name}={EXAMPLE / 'outline.png'}")]
    drawn = coopdraw("run", bundle, "--prompt", "red ring solid blue", *options, "-o", folder / "ring.png")
    assert drawn.returncode == 0, drawn.stderr
    generator = np.random.default_rng(3)
    feeds = {spec["name"]: generator.random(spec["shape"], np.float32) for spec in described["inputs"]}
    with Session(Bundle.open(bundle)) as session:
        latent = session.run(feeds)["latent"]
        for name in pictures:
            other = session.run(feeds | {name: 1 - feeds[name]})["latent"]
            assert relative_error(other, latent) > 1e-3, name  # more than the recipe's limit of `verify`


@pytest.mark.parametrize(
    "guidance",
    [
        "guidance = { text = 5.0 }",
        pytest.param("guidance = { text = 1.0 }", marks=pytest.mark.slow),
        pytest.param("guidance = { text = 2.0, late = 0.5 }", marks=pytest.mark.slow),
    ],
)
def test_batches_and_branches_match_the_host_loop(guidance: str, folder: Path) -> None:
    def several(text: str) -> str:
        text = change({"depth": t2i(scale=0.8, steps=[1, 2])}, {"structure": ["depth"]}, steps=2)(text)
        return text.replace("batch = 1", "batch = 2").replace("guidance = { text = 5.0 }", guidance)

    bundle = compiled(write_recipe(folder, several), folder / "x.bundle")
    shapes = {spec["name"]: spec["shape"] for spec in manifest(bundle)["inputs"]}
    assert shapes["depth.image"] == [2, 3, 64, 64]


SILENT = {
    "a": t2i(scale=0.0),
    "b": t2i(steps=[1, 1]),
    "c": controlnet(scale=0.0, steps=[0, 2]),
    "d": controlnet(steps=[0, 2]),
    "e": t2i("pose", steps=[0, 3]),
}
SILENT_OF = {"structure": ["a", "b", "c"], "texture": ["d", "e"]}


def test_adapters_that_never_act_are_not_opened(folder: Path) -> None:
    pipeline = loaded(folder, change(SILENT, SILENT_OF))
    assert not pipeline.controls
    assert not pipeline.t2i_adapters
    assert not any(planned.adapters for planned in pipeline.plan)
    for cell in (cells[2] for cells in pipeline.unets.values()):
        assert list(cell.inputs) == ["latent", "timestep", "context", "vector"]


@pytest.mark.slow
def test_adapters_that_never_act_leave_the_file_as_it_is_without_them(folder: Path) -> None:
    plain = compiled(write_recipe(folder, change({}, {})), folder / "plain.bundle", "--no-verify")
    silent = compiled(write_recipe(folder, change(SILENT, SILENT_OF)), folder / "silent.bundle", "--no-verify")
    for file in FILES:
        assert (silent / file).read_bytes() == (plain / file).read_bytes()
    described = manifest(silent)
    assert not any(step["adapters"] for step in described["steps"])
    assert not SILENT.keys() & described["models"].keys()
    alone = coopdraw("verify", silent)
    assert alone.returncode == 0, alone.stderr


@pytest.mark.slow
def test_a_picture_that_changes_nothing_is_no_input(folder: Path) -> None:
    """With a partner of strength 1 what the running model predicts is thrown away, and so is its adapter."""
    partner = """
[models.partner]
kind = "unet"
weights = "weights/partner_unet"
vae = "partner_vae"
[models.partner_vae]
kind = "vae"
weights = "weights/partner_vae"
[[coop]]
bridge = "latent"
with = "partner"
strength = 1.0
steps = [0, 3]
"""
    adapters = {"depth": t2i(), "edges": controlnet(scale=0.3), "on_partner": t2i(scale=0.5, steps=[1, 2])}
    of = {"structure": ["depth", "edges"]}
    recipe = write_recipe(
        folder, change(adapters, of, extra=partner.replace('unet"\nw', 'unet"\nadapters = ["on_partner"]\nw'))
    )
    bundle = compiled(recipe, folder / "x.bundle")
    pictures = [spec["name"] for spec in manifest(bundle)["inputs"] if spec["name"].endswith(".image")]
    assert pictures == ["on_partner.image"]


@pytest.mark.parametrize("name", ["full_adapter", "full_adapter_xl"])
def test_the_traced_functions_give_the_golden(name: str) -> None:
    arrays = golden(f"t2i_adapter/{name}")
    table = {"kind": "unet", "weights": f"{name}/unet", "adapters": ["depth"]}
    pipeline = {
        "name": "golden",
        "image_size": arrays["in:image"].shape[2:],
        "steps": 1,
        "guidance": {"text": 2.0},
        "experts": {"structure": "unet", "texture": "unet"},
        "vae": "vae",
        "context_length": arrays["in:context"].shape[1],
    }
    recipe = Recipe.model_validate(
        {
            "pipeline": pipeline,
            "models": {"unet": table, "vae": {"kind": "vae", "weights": "vae"}},
            "adapters": {"depth": t2i(f"{name}/adapter")},
        }
    )
    recipe._path = DATA / "t2i_adapter" / "recipe.toml"
    source = CheckpointSource(recipe)
    adapter, latent = source.open("depth", "t2i_adapter"), TensorType(DType.FLOAT32, (1, *arrays["in:x"].shape[1:]))
    unet = load_unet(recipe, source.open("unet", "unet"), latent, 2, None, [adapter])
    cell = load_t2i_adapter(recipe, adapter, unet, latent, recipe.pipeline.image_size)
    features = interpret(cell.trace(), {"image": arrays["in:image"]})
    for key, feature in features.items():
        assert relative_error(feature, arrays[f"out:{key}"]) <= GOLDEN_TOLERANCE
    conditions = {key: arrays[f"in:{key}"] for key in ("context", "vector") if f"in:{key}" in arrays}
    feeds = {"latent": arrays["in:x"], "timestep": np.asarray([arrays["in:t"]], np.float32), **conditions, **features}
    assert list(feeds) == list(unet.inputs)
    assert relative_error(interpret(unet.trace(), feeds)["epsilon"], arrays["out:eps"]) <= GOLDEN_TOLERANCE


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            T2IAdapterConfig(3, (32, 32), 1, 8, "full_adapter_xl"),
            r"recipe.toml: adapters.depth doesn't fit models.structure \(it makes features of "
            r"\[\[32, 8, 8\], \[32, 8, 8\]\], but the UNet takes \[\[32, 8, 8\], \[64, 8, 8\]\]\); name a T2I-Adapter",
        ),
        (T2IAdapterConfig(3, (32, 64), 1, 8), r"\[64, 4, 4\]\], but the UNet takes"),
        (T2IAdapterConfig(3, (32, 64), 1, 16, "full_adapter_xl"), r"\[32, 4, 4\].*but the UNet takes"),
        (T2IAdapterConfig(3, (32, 64, 64, 64), 1, 8, "full_adapter_xl"), r"doesn't fit models.structure"),
        (
            T2IAdapterConfig(3, (32,), 1, 24, "full_adapter_xl"),
            r"adapters.depth reads images whose sides are multiples of 24, but models.structure draws \[64, 64\]",
        ),
    ],
    ids=["channels", "halved too early", "too small", "too many levels", "image size"],
)
def test_an_adapter_of_another_model_is_refused(config: T2IAdapterConfig, message: str, tmp_path: Path) -> None:
    write_t2i_adapter(tmp_path / "depth", config)
    with pytest.raises(RecipeError, match=message):
        loaded(tmp_path, change({"depth": t2i()}, {"structure": ["depth"]}))


def test_more_features_may_be_taken_than_an_adapter_makes(folder: Path) -> None:
    write_t2i_adapter(folder / "whole", T2IAdapterConfig(3, (32, 64), 1, 8, "full_adapter_xl"))
    adapters = {"whole": t2i("whole"), "pose": t2i("pose")}
    pipeline = loaded(folder, change(adapters, {"structure": ["pose", "whole"]}))
    features = [name for name in pipeline.unets["structure"][2].inputs if name.startswith("feature.")]
    assert features == ["feature.0", "feature.1"]
    assert [len(pipeline.t2i_adapters[name].outputs) for name in ("pose", "whole")] == [1, 2]
    assert not any(name.startswith("feature.") for name in pipeline.unets["texture"][2].inputs)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (t2i("weights/partner_controlnet"), CheckpointError, "holds a ControlNet, not a T2I-Adapter"),
        (controlnet() | {"weights": "depth"}, CheckpointError, "holds a T2I-Adapter, not a ControlNet"),
        (
            t2i() | {"config.num_res_blocks": 1},
            CheckpointError,
            r"adapters.depth does not fit the model: .* unexpected",
        ),
        (t2i(kind="lora"), RecipeError, "key adapters.depth.kind is 'lora'; choose 'controlnet' or 't2i_adapter'"),
        (t2i(steps=[0, 9]), RecipeError, r"key adapters.depth.steps is \[0, 9\]; give \[first, end\)"),
    ],
    ids=["a ControlNet", "no ControlNet", "config", "kind", "steps"],
)
def test_nonsense_is_refused(table: dict[str, Any], error: type[Exception], message: str, folder: Path) -> None:
    with pytest.raises(error, match=message):
        loaded(folder, change({"depth": table}, {"structure": ["depth"]}))


def test_a_cell_of_the_users_takes_no_adapters(folder: Path) -> None:
    changed = change({"depth": t2i()}, {"structure": ["depth"]})
    cell = '[models.structure]\ncell = "x:y"\ninputs = { latent = [4, 16, 16], context = [8, 64] }\n'
    path = write_recipe(folder, lambda text: changed(text).replace("[models.structure]\n", cell))
    with pytest.raises(RecipeError, match=r"key models.structure.adapters can't be added to a Cell of your own"):
        load_recipe(path, trust_code=True)
