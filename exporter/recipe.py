"""The recipe: one TOML file that says what to compile. Every mistake in it is reported at once, each with its fix."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from coopdraw.exporter.errors import RecipeError

LARGEST_RECIPE = 2**20
LARGEST_IMAGE = 8192

# Names become parts of function and input names such as `structure.unet`, so they have no dots.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Timestep = Annotated[int, Field(ge=0, le=1000)]
Pixels = Annotated[int, Field(ge=1, le=LARGEST_IMAGE)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Experts(_Table):
    """The two UNets (names of models) and when the texture expert takes over.

    The structure expert runs while t >= `t_struct`, where t is the timestep of the step itself for `switch = "current"`
    (arXiv 2312.16486), and of the step before it for "previous" (mindone:examples/pangu_draw_v3, the released rule).
    """

    structure: Name
    texture: Name
    t_struct: Timestep = 500
    switch: Literal["previous", "current"] = "previous"


class Pipeline(_Table):
    """`image_size` is (height, width) in pixels; `guidance` has the scale of each branch besides `uncond`.

    `context_length` is the number of tokens of `context`, 77 if it isn't given; a text encoder has its own.
    """

    name: Name
    image_size: Annotated[tuple[Pixels, Pixels], Field(strict=False)]
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    steps: Annotated[int, Field(ge=1, le=1000)]
    sampler: Literal["euler"] = "euler"
    guidance: dict[Name, float]
    experts: Experts
    vae: Name
    text_encoder: Name | None = None
    context_length: Annotated[int, Field(ge=1, le=4096)] | None = None


class Model(_Table):
    """A model's weights, relative to the recipe. `config` overrides entries of the checkpoint's own configuration;
    `cell` names a factory of an `nn.Cell` that stands in for the built-in model: it is called with `config` as
    keywords, its parameters have the names in `weights`, and `inputs` has the shapes of its inputs without the batch.
    """

    kind: Literal["unet", "vae", "words"]
    weights: Annotated[str, Field(min_length=1)]
    config: dict[str, Any] = {}
    cell: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    inputs: dict[Name, Annotated[list[Annotated[int, Field(ge=1, le=65536)]], Field(min_length=1, max_length=7)]] = {}


class Verify(_Table):
    """What the compiled graph must reach against a host loop: the image's PSNR in dB, and the latent's largest absolute
    error divided by its range.
    """

    image_psnr: Annotated[float, Field(gt=0)] = 50.0
    latent_error: Annotated[float, Field(gt=0)] = 1e-3


class Target(_Table):
    """Where the graph will run."""

    name: Literal["cpu"] = "cpu"
    precision: Literal["float32"] = "float32"


class Recipe(_Table):
    """A valid recipe. `path` is the file it was read from; paths inside are relative to its folder."""

    pipeline: Pipeline
    models: dict[Name, Model]
    verify: Verify = Verify()
    target: Target = Target()
    _path: Path = PrivateAttr()

    @property
    def path(self) -> Path:
        return self._path

    @property
    def source_folder(self) -> Path:
        """The folder of the recipe."""
        return self._path.parent

    def weights_path(self, model: str) -> Path:
        """Where the weights of a model are: a file or a folder."""
        return self.source_folder / self.models[model].weights


def load_recipe(path: Path | str, trust_code: bool = False) -> Recipe:
    """Reads and checks a recipe; raises RecipeError with one line for each mistake.

    `trust_code` permits `cell`, which imports and runs the code it names.
    """
    path = Path(path)
    data = _read_toml(path)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors(include_url=False)]
        raise _recipe_error(path, problems) from None
    recipe._path = path
    problems = list(_inconsistencies(recipe, trust_code))
    if problems:
        raise _recipe_error(path, problems)
    return recipe


def recipe_as_compiled(recipe: Recipe) -> dict[str, Any]:
    """The recipe with all defaults filled in, as plain JSON; paths are as they were written."""
    return recipe.model_dump(mode="json", exclude_none=True)


def _recipe_error(path: Path, problems: list[str]) -> RecipeError:
    return RecipeError("\n".join(f"{path}: {problem}" for problem in problems))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_RECIPE + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise RecipeError(f"{path} is not a file; give the recipe's .toml file") from None
    if len(raw) > LARGEST_RECIPE:
        raise RecipeError(f"{path} has more than {LARGEST_RECIPE} bytes; give the recipe's .toml file")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}: line {line} is not UTF-8; save the recipe as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        where = f"{place.rstrip(')')}: " if place else ""
        raise RecipeError(f"{path}: {where}{reason}; correct the TOML") from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} can't be read as TOML ({error}); shorten its numbers and nesting") from None


def _describe(problem: ErrorDetails) -> str:
    """One of pydantic's errors as a sentence with the key's dotted path and the fix."""
    location = [str(part) for part in problem["loc"] if part != "[key]"]
    key = ".".join(location)
    context = problem.get("ctx", {})
    shown = _shorten(repr(problem["input"]))
    match problem["type"]:
        case "missing" if location[-1].isdigit():
            return f"key {'.'.join(location[:-1])} is too short; make it a list of 2"
        case "missing":
            return f"key {key} is missing; add it"
        case "extra_forbidden":
            return _describe_unknown(location)
        case "literal_error":
            return f"key {key} is {shown}; choose {context['expected']}"
        case "string_pattern_mismatch" if location[-1] == "cell":
            return f"key {key} is {shown}; write it as 'package.module:factory'"
        case "string_pattern_mismatch":
            return f"key {key} has the name {shown}; use letters, digits, - and _ only, with a letter first"
        case "dict_type" | "model_type":
            return f"key {key} is {shown}; make it a table"
        case "too_short" | "too_long" | "tuple_type":
            return f"key {key} is {shown}; make it a list of {context.get('min_length', context.get('max_length', 2))}"
    reason = re.sub(r"^(Input|String|Value) ", "it ", problem["msg"])
    return f"key {key} is {shown}, but {reason}; change it"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _describe_unknown(location: list[str]) -> str:
    *parents, name = location
    known = list(_table_at(parents).model_fields)
    similar = difflib.get_close_matches(name, known, n=1)
    if similar:
        return f"key {'.'.join(location)} is unknown; did you mean {'.'.join([*parents, similar[0]])}?"
    return f"key {'.'.join(location)} is unknown; remove it (known here: {', '.join(known)})"


def _table_at(location: list[str]) -> type[_Table]:
    tables: dict[str, type[_Table]] = {"pipeline": Pipeline, "models": Model, "verify": Verify, "target": Target}
    if not location:
        return Recipe
    return Experts if location == ["pipeline", "experts"] else tables[location[0]]


def _inconsistencies(recipe: Recipe, trust_code: bool) -> Iterator[str]:
    """What is wrong between keys that are each valid by themselves."""
    pipeline = recipe.pipeline
    if "uncond" in pipeline.guidance:
        yield "key pipeline.guidance.uncond has no scale: every branch is guided away from it; remove it"
    if "text" not in pipeline.guidance:
        yield "key pipeline.guidance.text is missing; add it (text = 1.0 is no guidance)"
    uses = {
        "pipeline.experts.structure": (pipeline.experts.structure, "unet"),
        "pipeline.experts.texture": (pipeline.experts.texture, "unet"),
        "pipeline.vae": (pipeline.vae, "vae"),
    }
    if pipeline.text_encoder is not None:
        uses["pipeline.text_encoder"] = (pipeline.text_encoder, "words")
        if pipeline.context_length is not None:
            yield "key pipeline.context_length is given, but the text encoder has its own; remove it"
    for key, (name, kind) in uses.items():
        yield from _check_use(recipe, key, name, kind)
    used = {name for name, _ in uses.values()}
    for name, model in recipe.models.items():
        if name not in used:
            yield f"key models.{name} is used by nothing; remove it or name it in pipeline"
        yield from _check_model(recipe, name, model, trust_code)


def _check_use(recipe: Recipe, key: str, name: str, kind: str) -> Iterator[str]:
    if name not in recipe.models:
        similar = difflib.get_close_matches(name, recipe.models, n=1)
        fix = f"did you mean {similar[0]}?" if similar else f"add [models.{name}]"
        yield f"key {key} names the model {name}, which doesn't exist; {fix}"
    elif recipe.models[name].kind != kind:
        found = recipe.models[name].kind
        yield f"key {key} names {name}, which is of kind {found}; name a model of kind {kind}"


def _check_model(recipe: Recipe, name: str, model: Model, trust_code: bool) -> Iterator[str]:
    key = f"models.{name}.weights"
    parts = PurePosixPath(model.weights).parts
    if not model.weights.isprintable():
        yield f"key {key} is {model.weights!r}; use a path without control characters"
    elif PurePosixPath(model.weights).is_absolute() or ".." in parts or not parts:
        yield f"key {key} is {model.weights!r}, which leaves the recipe's folder; link the weights beside the recipe"
    elif not recipe.weights_path(name).exists():
        yield f"key {key} is {model.weights!r}, which isn't beside the recipe; correct the path or fetch the weights"
    if model.cell is not None and not trust_code:
        yield f"key models.{name}.cell would run code from {model.cell}; add --trust-code if you trust it"
    if model.cell is not None and model.kind == "words":
        yield f"key models.{name}.cell stands in for a text encoder, which must be built in; remove it"
    wanted = {"unet": ("latent", "context", "vector"), "vae": ("latent",)}.get(model.kind, ())
    needed = wanted[:2] if model.cell is not None else ()
    if not set(needed) <= set(model.inputs) <= (set(wanted) if needed else set()):
        names = ", ".join(wanted) if needed else "none without `cell`"
        yield f"key models.{name}.inputs has {sorted(model.inputs)}; give {names}"
    for place, value in _leaves(f"models.{name}.config", model.config):
        if not _fits_json(value):
            yield f"key {place} is {value!r}; give a finite number, a string or true or false"


def _leaves(place: str, value: object) -> Iterator[tuple[str, object]]:
    """All values in nested tables and lists, with their dotted paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{place}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(f"{place}.{index}", item)
    else:
        yield place, value


def _fits_json(value: object) -> bool:
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)
