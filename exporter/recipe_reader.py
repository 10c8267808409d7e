"""Reads a recipe and reports every mistake in it at once, each with its fix."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.recipe import (
    Adapter,
    Expect,
    Experts,
    LatentBridge,
    Model,
    Passes,
    Pipeline,
    Recipe,
    ResolutionBridge,
    Start,
    Target,
    Verify,
)
from coopdraw.exporter.recipe_checks import inconsistencies

LARGEST_RECIPE = 2**20


def load_recipe(
    path: Path | str, trust_code: bool = False, changes: Mapping[str, Mapping[str, Any]] | None = None
) -> Recipe:
    """Reads and checks a recipe; raises RecipeError with one line for each mistake.

    `trust_code` permits `cell`, which imports and runs the code it names. `changes` replaces keys of tables, such as
    {"passes": {"level": "basic"}}.
    """
    path = Path(path)
    data = _read_toml(path)
    for table, values in (changes or {}).items():
        if isinstance(data.setdefault(table, {}), dict):
            data[table].update(values)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors(include_url=False)]
        raise _recipe_error(path, problems) from None
    recipe._path = path
    problems = list(inconsistencies(recipe, trust_code))
    if problems:
        raise _recipe_error(path, problems)
    return recipe


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
    table = _table_at(location[:-1]) if problem["type"] == "extra_forbidden" else Recipe
    if len(location) > 2 and location[0] == "coop":
        del location[2]  # the tag of the union, which is no key
    key = ".".join(location)
    context = problem.get("ctx", {})
    shown = _shorten(repr(problem["input"]))
    match problem["type"]:
        case "missing" if location[-1].isdigit():
            return f"key {'.'.join(location[:-1])} is too short; make it a list of 2"
        case "missing":
            return f"key {key} is missing; add it"
        case "extra_forbidden":
            return _describe_unknown(location, table)
        case "literal_error":
            return f"key {key} is {shown}; choose {context['expected']}"
        case "union_tag_not_found" | "union_tag_invalid":
            return f"key {key}.bridge must be 'latent' or 'resolution'; add it"
        case "string_pattern_mismatch" if location[-1] == "cell":
            return f"key {key} is {shown}; write it as 'package.module:factory'"
        case "string_pattern_mismatch":
            return f"key {key} has the name {shown}; use letters, digits, - and _ only, with a letter first"
        case "dict_type" | "model_type":
            return f"key {key} is {shown}; make it a table"
        case "too_short" | "too_long" | "tuple_type":
            length = context.get("min_length", context.get("max_length"))
            return f"key {key} is {shown}; make it a list{'' if length is None else f' of {length}'}"
    reason = re.sub(r"^(Input|String|Value) ", "it ", problem["msg"])
    return f"key {key} is {shown}, but {reason}; change it"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _describe_unknown(location: list[str], table: type[BaseModel]) -> str:
    *parents, name = location
    known = [field.alias or key for key, field in table.model_fields.items()]
    similar = difflib.get_close_matches(name, known, n=1)
    if similar:
        return f"key {'.'.join(location)} is unknown; did you mean {'.'.join([*parents, similar[0]])}?"
    return f"key {'.'.join(location)} is unknown; remove it (known here: {', '.join(known)})"


def _table_at(location: list[str]) -> type[BaseModel]:
    tables: dict[str, type[BaseModel]] = {
        "pipeline": Pipeline,
        "models": Model,
        "adapters": Adapter,
        "expect": Expect,
        "passes": Passes,
        "start": Start,
        "verify": Verify,
        "target": Target,
    }
    if not location:
        return Recipe
    if location[0] == "coop":
        return LatentBridge if location[2:] == ["latent"] else ResolutionBridge
    return Experts if location == ["pipeline", "experts"] else tables[location[0]]
