"""Recipes: what is valid loads with its defaults, and every mistake is one line with the file, the key and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.recipe import recipe_as_compiled
from coopdraw.exporter.recipe_reader import load_recipe

RECIPE = """\
[pipeline]
name = "shapes"
image_size = [64, 48]
steps = 20
guidance = { text = 5, anime = 1.5 }
experts = { structure = "first", texture = "second" }
vae = "vae"
text_encoder = "words"

[models.first]
kind = "unet"
weights = "weights/unet"
config = { layers = [1, 2.5, { name = "x" }], flash = false }

[models.second]
kind = "unet"
weights = "weights/unet.safetensors"

[models.vae]
kind = "vae"
weights = "weights"

[models.words]
kind = "words"
weights = "weights"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights" / "unet").mkdir(parents=True)
    (tmp_path / "weights" / "unet.safetensors").touch()
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "shapes.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def mistakes(folder: Path, *changes: tuple[str, str], trust_code: bool = False) -> list[str]:
    """The error lines for the recipe with some text replaced, without the file's name."""
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = write(folder, text)
    with pytest.raises(RecipeError) as error:
        load_recipe(path, trust_code)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_defaults(folder: Path) -> None:
    recipe = load_recipe(write(folder, RECIPE))
    assert recipe.pipeline.batch == 1
    assert recipe.pipeline.image_size == (64, 48)
    assert recipe.pipeline.guidance == {"text": 5.0, "anime": 1.5}
    assert recipe.pipeline.sampler == "euler"
    assert (recipe.pipeline.experts.t_struct, recipe.pipeline.experts.switch) == (500, "previous")
    assert (recipe.verify.image_psnr, recipe.verify.latent_error) == (50.0, 1e-3)
    assert (recipe.target.name, recipe.target.precision) == ("cpu", None)
    assert recipe.source_folder == folder
    assert recipe.weights_path("second") == folder / "weights" / "unet.safetensors"


def test_as_compiled_is_plain_and_says_nothing_of_the_machine(folder: Path) -> None:
    compiled = recipe_as_compiled(load_recipe(write(folder, RECIPE)))
    text = json.dumps(compiled)
    assert json.loads(text) == compiled
    assert str(folder) not in text
    assert compiled["models"]["first"]["weights"] == "weights/unet"
    assert compiled["pipeline"]["experts"]["switch"] == "previous"


def test_recipes_do_not_change(folder: Path) -> None:
    recipe = load_recipe(write(folder, RECIPE))
    with pytest.raises(ValueError, match="frozen"):
        recipe.pipeline.steps = 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps = 20", "stpes = 20\nsteps = 20", "key pipeline.stpes is unknown; did you mean pipeline.steps?"),
        ("[pipeline]", "[pipelin]\n[pipeline]", "key pipelin is unknown; did you mean pipeline?"),
        (
            'structure = "first"',
            'structure = "first", t_strct = 3',
            "key pipeline.experts.t_strct is unknown; did you mean pipeline.experts.t_struct?",
        ),
        (
            'kind = "vae"',
            'kind = "vae"\nzzz = 1',
            "key models.vae.zzz is unknown; remove it (known here: kind, weights, config, cell, inputs, vae, ",
        ),
        (
            "[models.vae]",
            "[device]\nname = 4\n[models.vae]",
            "key device is unknown; remove it (known here: pipeline, models, adapters, coop, start, passes, expect,",
        ),
        ("steps = 20\n", "", "key pipeline.steps is missing; add it"),
        ("text = 5, ", "", "key pipeline.guidance.text is missing; add it (text = 1.0 is no guidance)"),
        (
            "anime = 1.5",
            "uncond = 1.5",
            "key pipeline.guidance.uncond has no scale: every branch is guided away from it; remove it",
        ),
        ("steps = 20", "steps = 0", "key pipeline.steps is 0, but it should be greater than or equal to 1; change it"),
        ("steps = 20", 'steps = "20"', "key pipeline.steps is '20', but it should be a valid integer; change it"),
        ("steps = 20", "steps = true", "key pipeline.steps is True, but it should be a valid integer; change it"),
        ("steps = 20", 'steps = 20\nsampler = "ddim"', "key pipeline.sampler is 'ddim'; choose 'euler'"),
        ("[64, 48]", "[64]", "key pipeline.image_size is too short; make it a list of 2"),
        ("[64, 48]", "[64, 48, 3]", "key pipeline.image_size is [64, 48, 3]; make it a list of 2"),
        ("text = 5", "text = inf", "key pipeline.guidance.text is inf, but it should be a finite number; change it"),
        (
            'texture = "second"',
            'texture = "second", t_struct = 1001',
            "key pipeline.experts.t_struct is 1001, but it should be less than or equal to 1000; change it",
        ),
        (
            'texture = "second"',
            'texture = "second", switch = "next"',
            "key pipeline.experts.switch is 'next'; choose 'previous' or 'current'",
        ),
        (
            "anime",
            '"a.b"',
            "key pipeline.guidance.a.b has the name 'a.b'; use letters, digits, - and _ only, with a letter first",
        ),
        ('kind = "vae"', 'kind = "gan"', "key models.vae.kind is 'gan'; choose 'unet', 'vae' or 'words'"),
        ('"first", texture = "second"', '"first", texture = "first"', "key models.second is used by nothing"),
        ('vae = "vae"', 'vae = "vea"', "key pipeline.vae names the model vea, which doesn't exist; did you mean vae?"),
        (
            'vae = "vae"',
            'vae = "first"',
            "key pipeline.vae names first, which is of kind unet; name a model of kind vae",
        ),
        ('weights = "weights/unet"', 'weights = "gone"', "key models.first.weights is 'gone', which isn't beside"),
        (
            'weights = "weights/unet"',
            'weights = "../x"',
            "key models.first.weights is '../x', which leaves the recipe's",
        ),
        (
            'weights = "weights/unet"',
            'weights = "/etc"',
            "key models.first.weights is '/etc', which leaves the recipe's",
        ),
        ('weights = "weights/unet"', 'weights = "."', "key models.first.weights is '.', which leaves the recipe's"),
        (
            'weights = "weights/unet"',
            'weights = "a\\u0000"',
            "key models.first.weights is 'a\\x00'; use a path without",
        ),
        ("2.5", "nan", "key models.first.config.layers.1 is nan; give a finite number"),
        ("2.5", "2024-01-01", "key models.first.config.layers.1 is datetime.date(2024, 1, 1); give a finite number"),
        ("2.5", str(2**63), f"key models.first.config.layers.1 is {2**63}; give a finite number"),
        (
            'kind = "vae"',
            'kind = "vae"\ncell = "os"',
            "key models.vae.cell is 'os'; write it as 'package.module:factory'",
        ),
        (
            "[models.vae]",
            "[[models.vae]]",
            "key models.vae is [{'kind': 'vae', 'weights': 'weights'}]; make it a table",
        ),
    ],
)
def test_one_mistake(folder: Path, old: str, new: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in mistakes(folder, (old, new)))


def test_all_mistakes_at_once(folder: Path) -> None:
    lines = mistakes(folder, ("steps = 20", "steps = 0"), ('kind = "vae"', 'kidn = "vae"'), ("[64, 48]", '"big"'))
    assert len(lines) == 4
    assert [line.split()[1] for line in lines] == [
        "pipeline.image_size",
        "pipeline.steps",
        "models.vae.kind",
        "models.vae.kidn",
    ]
    assert len(mistakes(folder, ('vae = "vae"', 'vae = "vea"'), ('"weights/unet"', '"gone"'))) == 3


def test_cells_need_trust(folder: Path) -> None:
    cell = ('kind = "vae"', 'kind = "vae"\ncell = "my.cells:vae"\ninputs = { latent = [4, 8, 8] }')
    assert mistakes(folder, cell) == [
        "key models.vae.cell would run code from my.cells:vae; add --trust-code if you trust it"
    ]
    assert load_recipe(folder / "shapes.toml", trust_code=True).models["vae"].cell == "my.cells:vae"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[pipeline]\nname = \n", "line 2, column 8: Invalid value; correct the TOML"),
        ("[pipeline]\nname = 'a'\nname = 'b'\n", "line 3"),
        (b"[pipeline]\nname = '\xff'\n", "line 2 is not UTF-8"),
        ("a = " + "9" * 5000, "shorten"),
        ("a = " + "[" * 5000, "shorten"),
        ("[pipeline", "correct the TOML"),
        ("#" * (2**20 + 1), "more than"),
    ],
    ids=["syntax", "duplicate", "encoding", "huge number", "nesting", "unfinished", "large"],
)
def test_what_is_no_toml(folder: Path, text: str | bytes, expected: str) -> None:
    path = write(folder, text)
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert expected in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.toml"):
        with pytest.raises(RecipeError, match="not a file"):
            load_recipe(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(position=st.integers(0, len(RECIPE) - 1), text=st.text(max_size=3))
def test_any_edit_loads_or_is_explained(folder: Path, position: int, text: str) -> None:
    path = write(folder, (RECIPE[:position] + text + RECIPE[position + 1 :]).encode("utf-8", errors="replace"))
    refusal = str(path)
    try:
        load_recipe(path)
    except RecipeError as error:
        refusal = str(error)
    assert refusal.startswith(str(path))
