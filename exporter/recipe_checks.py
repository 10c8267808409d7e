"""What can be wrong between a recipe's keys that are each valid by themselves."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from pathlib import PurePosixPath

from coopdraw.exporter.recipe import RANDOM, Adapter, LatentBridge, Model, Recipe, ResolutionBridge
from coopdraw.graphs.passes.fusions.counting import FUSIONS
from coopdraw.graphs.passes.pipelines import pass_names
from coopdraw.graphs.sampling.schedule import make_schedule


def inconsistencies(recipe: Recipe, trust_code: bool) -> Iterator[str]:
    """One sentence for each mistake, with the key and the fix."""
    pipeline = recipe.pipeline
    if "uncond" in pipeline.guidance:
        yield "key pipeline.guidance.uncond has no scale: every branch is guided away from it; remove it"
    if "text" not in pipeline.guidance:
        yield "key pipeline.guidance.text is missing; add it (text = 1.0 is no guidance)"
    yield from _check_window(recipe, "pipeline.guidance_steps", pipeline.guidance_steps)
    uses = {
        "pipeline.experts.structure": (pipeline.experts.structure, "unet"),
        "pipeline.experts.texture": (pipeline.experts.texture, "unet"),
        "pipeline.vae": (pipeline.vae, "vae"),
    }
    if pipeline.text_encoder is not None:
        uses["pipeline.text_encoder"] = (pipeline.text_encoder, "words")
        if pipeline.context_length is not None:
            yield "key pipeline.context_length is given, but the text encoder has its own; remove it"
    for index, bridge in enumerate(recipe.coop):
        key, name = ("with", bridge.partner) if isinstance(bridge, LatentBridge) else ("from", bridge.source)
        uses[f"coop.{index}.{key}"] = (name, "unet")
    for name in {name for name, kind in uses.values() if kind == "unet" and name in recipe.models}:
        if recipe.models[name].vae is not None:
            uses[f"models.{name}.vae"] = (recipe.vae_of(name), "vae")
    for key, (name, kind) in uses.items():
        yield from _check_use(recipe, key, name, kind)
    used = {name for name, _ in uses.values()}
    for name, model in recipe.models.items():
        if name not in used:
            yield f"key models.{name} is used by nothing; remove it or name it in pipeline or coop"
        yield from _check_model(recipe, name, model, trust_code)
    yield from _check_adapters(recipe)
    yield from _check_bridges(recipe)
    yield from _check_start(recipe)
    yield from _check_passes(recipe)
    yield from _check_precision(recipe)


def _check_use(recipe: Recipe, key: str, name: str, kind: str) -> Iterator[str]:
    if name not in recipe.models:
        similar = difflib.get_close_matches(name, recipe.models, n=1)
        fix = f"did you mean {similar[0]}?" if similar else f"add [models.{name}]"
        yield f"key {key} names the model {name}, which doesn't exist; {fix}"
    elif recipe.models[name].kind != kind:
        found = recipe.models[name].kind
        yield f"key {key} names {name}, which is of kind {found}; name a model of kind {kind}"


def _check_model(recipe: Recipe, name: str, model: Model, trust_code: bool) -> Iterator[str]:
    yield from _check_weights(recipe, f"models.{name}", model)
    if model.kind != "unet" and (model.vae or model.image_size or model.adapters or model.loras):
        yield f"key models.{name} has vae, image_size, adapters or loras, which only a unet has; remove them"
    if model.cell is not None and model.loras:
        yield f"key models.{name}.loras can't be merged into a Cell of your own; remove it"
    if model.cell is not None and model.adapters:
        yield (
            f"key models.{name}.adapters can't be added to a Cell of your own, which has no inputs for them; remove it "
            "or use the built-in UNet"
        )
    for index, lora in enumerate(model.loras):
        yield from _check_path(recipe, f"models.{name}.loras.{index}", lora.weights)
    if model.cell is not None and not trust_code:
        yield f"key models.{name}.cell would run code from {model.cell}; add --trust-code if you trust it"
    if model.cell is not None and model.kind == "words":
        yield f"key models.{name}.cell stands in for a text encoder, which must be built in; remove it"
    wanted = {"unet": ("latent", "context", "vector"), "vae": ("latent",)}.get(model.kind, ())
    needed = wanted[:2] if model.cell is not None else ()
    if not set(needed) <= set(model.inputs) <= (set(wanted) if needed else set()):
        names = ", ".join(wanted) if needed else "none without `cell`"
        yield f"key models.{name}.inputs has {sorted(model.inputs)}; give {names}"


def _check_path(recipe: Recipe, key: str, weights: str) -> Iterator[str]:
    parts = PurePosixPath(weights).parts
    shown = f"key {key}.weights is {weights!r}"
    if not weights.isprintable():
        yield f"{shown}; use a path without control characters"
    elif PurePosixPath(weights).is_absolute() or ".." in parts or not parts:
        yield f"{shown}, which leaves the recipe's folder; link the weights beside the recipe"
    elif not (recipe.source_folder / weights).exists():
        yield f"{shown}, which isn't beside the recipe; correct the path or fetch the weights"


def _check_weights(recipe: Recipe, key: str, table: Model | Adapter) -> Iterator[str]:
    if table.weights != RANDOM:
        yield from _check_path(recipe, key, table.weights)
    elif not table.config or (isinstance(table, Model) and table.cell is not None):
        yield f'key {key}.weights is "{RANDOM}", which needs the architecture in {key}.config, and no cell'
    for place, value in _leaves(f"{key}.config", table.config):
        if not _fits_json(value):
            yield f"key {place} is {value!r}; give a finite number, a string or true or false"


def _check_adapters(recipe: Recipe) -> Iterator[str]:
    used = [(name, adapter) for name, model in recipe.models.items() for adapter in model.adapters]
    for name, wanted in used:
        if wanted not in recipe.adapters:
            yield f"key models.{name}.adapters names {wanted}, which doesn't exist; add [adapters.{wanted}]"
    for name, adapter in recipe.adapters.items():
        if [used_name for _, used_name in used].count(name) != 1:
            yield f"key adapters.{name} must be named by one model; add it to that model's adapters or remove it"
        if name in recipe.models:
            yield f"key adapters.{name} has the name of a model; rename it"
        yield from _check_weights(recipe, f"adapters.{name}", adapter)
        yield from _check_window(recipe, f"adapters.{name}.steps", adapter.steps)


def _check_passes(recipe: Recipe) -> Iterator[str]:
    for name in recipe.passes.disabled:
        if name not in pass_names():
            yield f"key passes.disabled names {name}, which is no pass; the passes are {', '.join(pass_names())}"
    for name in recipe.expect.fusions:
        if name not in FUSIONS:
            yield f"key expect.fusions.{name} is no fusion; the fusions are {', '.join(FUSIONS)}"


def _check_precision(recipe: Recipe) -> Iterator[str]:
    target = recipe.target
    if target.name == "cpu" and target.precision == "float16":
        yield (
            f"key target.precision is {target.precision}, but the CPU computes in float32, which is faster there; "
            f"remove it, and check the bundle with `coopdraw verify BUNDLE --precision {target.precision}`"
        )
    known = (*recipe.models, *recipe.adapters)
    for name in target.keep_float32 or ():
        if name.partition("/")[0].partition(".")[0] not in known:
            yield f"key target.keep_float32 names {name}, which is no model or adapter; they are {', '.join(known)}"


def _check_window(recipe: Recipe, key: str, window: tuple[int, int] | None) -> Iterator[str]:
    steps, whole = len(make_schedule(recipe.pipeline.steps, recipe.strength)), recipe.pipeline.steps
    if window is not None and not 0 <= window[0] <= window[1] <= steps:
        which = f"{steps} steps" if steps == whole else f"{steps} steps that start.strength leaves of {whole}"
        yield f"key {key} is {list(window)}; give [first, end) inside the {which}, which count from 0"


def _check_bridges(recipe: Recipe) -> Iterator[str]:
    last = make_schedule(recipe.pipeline.steps)[-1].t
    experts = {recipe.pipeline.experts.structure, recipe.pipeline.experts.texture}
    for name in sorted(experts & recipe.models.keys()):
        if recipe.models[name].vae is not None or recipe.models[name].image_size is not None:
            yield f"key models.{name} has vae or image_size, but an expert has the pipeline's; remove them"
    resolutions = [bridge for bridge in recipe.coop if isinstance(bridge, ResolutionBridge)]
    sources = [bridge.source for bridge in resolutions]
    for index, bridge in enumerate(recipe.coop):
        if isinstance(bridge, LatentBridge):
            yield from _check_window(recipe, f"coop.{index}.steps", bridge.steps)
            if bridge.partner in experts or bridge.partner in sources:
                yield (
                    f"key coop.{index}.with is {bridge.partner}, which runs steps of its own: the two would feed each "
                    "other; name another model (the same weights under another name are stored once)"
                )
        elif bridge.at < last:
            yield f"key coop.{index}.at is {bridge.at}, but the last step has t = {last}; give {last} to 1000"
        elif bridge.source in experts:
            yield f"key coop.{index}.from is {bridge.source}, which is an expert of the pipeline; name another model"
    for what, values in (
        ("name", [bridge.name for bridge in resolutions]),
        ("at", [bridge.at for bridge in resolutions]),
        ("from", sources),
    ):
        if len(set(values)) != len(values):
            yield f"key coop: two resolution bridges have the same {what}; give each its own"


def _check_start(recipe: Recipe) -> Iterator[str]:
    if recipe.start is None:
        return
    if recipe.start.keep_pixels and not recipe.start.mask:
        yield "key start.keep_pixels needs a mask, which says where the pixels are kept; add mask = true"
    if "image" in recipe.adapters:
        yield "key adapters.image has the name of the start picture; rename the adapter"
    first = make_schedule(recipe.pipeline.steps, recipe.strength)[0].t
    for index, bridge in enumerate(recipe.coop):
        if isinstance(bridge, ResolutionBridge) and bridge.at >= first:
            yield (
                f"key coop.{index}.at is {bridge.at}, but with start.strength = {recipe.strength:g} the run begins at "
                f"t = {first}, where {bridge.source} has nothing left to do; give less than {first} or remove it"
            )


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
