"""Compares a bundle with a host loop: the same inputs through the compiled graph and through eager Cells."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from pydantic import ValidationError

from coopdraw.exporter.error_budget import measure_error_budget
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.host_loop import run_host_loop
from coopdraw.exporter.loading import Pipeline, load_pipeline
from coopdraw.exporter.parity import VerificationResult, image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe, recipe_as_compiled
from coopdraw.exporter.reference_cells import References
from coopdraw.exporter.sample_pictures import START_INPUTS
from coopdraw.exporter.sources import BundleSource, CheckpointSource
from coopdraw.exporter.text_encoding import vector_output
from coopdraw.graphs.sampling.coop import MAIN
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import MANIFEST_NAME, Manifest
from coopdraw.runtime.noise import draw_noise
from coopdraw.runtime.prompt import UNCONDITIONAL
from coopdraw.runtime.session import Session
from coopdraw.runtime.tokenizer import tokenize

_SEED = 0
_CAPTION_WORDS = 4


def verify_bundle(bundle: Bundle, recipe: Recipe | None, progress: Progress) -> VerificationResult:
    """Runs the bundle and the host loop on the same inputs.

    With `recipe`, Cells and weights come from its checkpoints; without, from the bundle's manifest and stored weights.
    """
    compiled = recipe or recipe_of(bundle)
    check_same_pipeline(compiled, bundle)
    source = CheckpointSource(compiled) if recipe is not None else BundleSource(bundle)
    with Session(bundle) as session, progress.stage("run the graph"):
        tokens = sample_tokens(bundle.manifest)
        encoded = None if tokens is None else session.run_text_encoder(tokens)
        inputs = sample_inputs(bundle.manifest, encoded)
        found = session.run(inputs)
    pipeline = load_pipeline(compiled, source)
    with progress.stage("load the reference Cells"):
        references = References(pipeline)
    with progress.stage("run the host loop"):
        wanted = run_host_loop(compiled, references.models, _with_unused(pipeline, inputs), progress.step)
    with progress.stage("measure the transfers"):
        budget = measure_error_budget(bundle.graph_path, pipeline, found["image"])
    text_error = None
    if tokens is not None and encoded is not None:
        text_error = _text_error(references, encoded, tokens)
    return VerificationResult(
        range_error(found["latent"], wanted["latent"]),
        image_psnr(found["image"], wanted["image"]),
        text_error,
        compiled.verify,
        references.executors(),
        budget,
    )


def _text_error(references: References, encoded: Mapping[str, np.ndarray], tokens: np.ndarray) -> float:
    """The largest error of what the text encoder's graph gives, against its Cells."""
    errors = []
    for cell in references.text_encoders:
        context, vector = cell(tokens)
        errors.append(range_error(encoded["context"], context))
        errors.append(range_error(encoded[vector_output(cell.loaded)], vector))
    return max(errors)


def check_same_pipeline(recipe: Recipe, bundle: Bundle) -> None:
    """A recipe may have moved its weights and have other limits; another pipeline can't be compared with the bundle."""
    for table in ("pipeline", "start"):
        given, stored = recipe_as_compiled(recipe).get(table, {}), bundle.manifest.recipe.get(table)
        known = stored if isinstance(stored, dict) else {}
        for key in sorted({*given, *known}):
            if given.get(key) != known.get(key):
                raise RecipeError(
                    f"{recipe.path}: key {table}.{key} is {given.get(key)}, but the bundle was compiled with "
                    f"{known.get(key)}; name the bundle's own recipe or compile again"
                )


def recipe_of(bundle: Bundle) -> Recipe:
    """The recipe in a bundle's manifest; raises BundleError if this version can't read it."""
    try:
        recipe = Recipe.model_validate_json(json.dumps(bundle.manifest.recipe))
    except ValidationError as error:
        raise BundleError(
            f"the recipe in the manifest has {error.error_count()} errors for this version; verify with --recipe"
        ) from None
    recipe._path = bundle.folder / MANIFEST_NAME
    return recipe


def _with_unused(pipeline: Pipeline, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`inputs` with zeros for those that the graph doesn't have because its models ignore them."""
    complete = dict(inputs)
    branches = pipeline.settings.guidance.branches
    for model, cells in pipeline.unets.items():
        count, cell = next(iter(cells.items()))
        prefix = "" if pipeline.space_of(model) == MAIN else f"{model}."
        for name in {"context", "vector"} & cell.inputs.keys():
            type = cell.inputs[name]
            one_branch = (type.shape[0] // count, *type.shape[1:])
            for branch in branches:
                complete.setdefault(f"{prefix}{name}.{branch}", np.zeros(one_branch, type.dtype.numpy))
    pictures = {name: control.hint for name, control in pipeline.controls.items()} | dict(pipeline.t2i_adapters)
    for name, cell in pictures.items():
        (image,) = cell.inputs.values()
        complete.setdefault(f"{name}.image", np.zeros(image.shape, image.dtype.numpy))
    for name, space in pipeline.spaces.items():
        complete.setdefault("noise" if name == MAIN else f"{name}.noise", np.zeros(space.latent.shape, np.float32))
    return complete


def sample_tokens(manifest: Manifest) -> np.ndarray | None:
    """A caption of words from all over the vocabulary, for the whole batch; None without a text encoder."""
    encoder = manifest.text_encoder
    if encoder is None:
        return None
    words = encoder.words[1:]
    count = min(encoder.context_length, _CAPTION_WORDS, len(words))
    caption = " ".join(words[index * len(words) // count] for index in range(count))
    return tokenize(encoder, [caption] * manifest.batch)


def sample_inputs(manifest: Manifest, encoded: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Noise from a fixed seed, and the caption's embeddings for every branch that has a text encoder (else noise, too).

    The unconditional branch gets zeros, as in the release, so that guidance has a difference to work on. Control
    pictures are noise cut to [0, 1]; a start picture is smooth, and its mask a disc with a soft edge.
    """
    inputs = {spec.name: draw_noise(spec, _SEED) for spec in manifest.inputs}
    inputs |= {spec.name: START_INPUTS[spec.name](spec.shape) for spec in manifest.inputs if spec.name in START_INPUTS}
    for name in [name for name in inputs if name.endswith(".image")]:
        inputs[name] = np.clip(inputs[name], 0.0, 1.0)
    if manifest.text_encoder is None or encoded is None:
        return inputs
    for feed in manifest.text_encoder.feeds:
        for output, name in feed.inputs.items():
            unconditional = feed.branch == UNCONDITIONAL
            inputs[name] = np.zeros_like(inputs[name]) if unconditional else encoded[output]
    return inputs
