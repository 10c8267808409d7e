"""Compares a bundle with a host loop: the same inputs through the compiled graph and through eager Cells."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from pydantic import ValidationError

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.host_loop import run_host_loop
from coopdraw.exporter.loading import Pipeline, load_pipeline
from coopdraw.exporter.parity import VerificationResult, image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe, recipe_as_compiled
from coopdraw.exporter.reference_cells import ReferenceCell
from coopdraw.exporter.sources import BundleSource, CheckpointSource
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
    compiled = recipe or _recipe_of(bundle)
    _check_same_pipeline(compiled, bundle)
    source = CheckpointSource(compiled) if recipe is not None else BundleSource(bundle)
    with Session(bundle) as session, progress.stage("run the graph"):
        tokens = _test_tokens(bundle.manifest)
        encoded = None if tokens is None else session.run_text_encoder(tokens)
        inputs = _test_inputs(bundle.manifest, encoded)
        found = session.run(inputs)
    pipeline = load_pipeline(compiled, source)
    cells = {**pipeline.experts, compiled.pipeline.vae: pipeline.decoder}
    if pipeline.text_encoder is not None and compiled.pipeline.text_encoder is not None:
        cells[compiled.pipeline.text_encoder] = pipeline.text_encoder
    with progress.stage("load the reference Cells"):
        references = {name: ReferenceCell(cell) for name, cell in cells.items()}
    with progress.stage("run the host loop"):
        models = {name: references[name].first for name in pipeline.experts}
        decode = references[compiled.pipeline.vae].first
        wanted = run_host_loop(compiled, models, decode, _with_unused(pipeline, inputs), progress.step)
    text_error = None
    if tokens is not None and encoded is not None and compiled.pipeline.text_encoder is not None:
        results = references[compiled.pipeline.text_encoder](tokens)
        text_error = max(range_error(a, b) for a, b in zip(encoded.values(), results, strict=True))
    return VerificationResult(
        range_error(found["latent"], wanted["latent"]),
        image_psnr(found["image"], wanted["image"]),
        text_error,
        compiled.verify,
        {name: reference.executor for name, reference in references.items()},
    )


def _check_same_pipeline(recipe: Recipe, bundle: Bundle) -> None:
    """A recipe may have moved its weights and have other limits; another pipeline can't be compared with the bundle."""
    given, stored = recipe_as_compiled(recipe)["pipeline"], bundle.manifest.recipe.get("pipeline")
    known = stored if isinstance(stored, dict) else {}
    for key in sorted({*given, *known}):
        if given.get(key) != known.get(key):
            raise RecipeError(
                f"{recipe.path}: key pipeline.{key} is {given.get(key)}, but the bundle was compiled with "
                f"{known.get(key)}; name the bundle's own recipe or compile again"
            )


def _recipe_of(bundle: Bundle) -> Recipe:
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
    for name, type in next(iter(pipeline.experts.values())).inputs.items():
        if name not in ("latent", "timestep"):
            one_branch = (type.shape[0] // len(branches), *type.shape[1:])
            for branch in branches:
                complete.setdefault(f"{name}.{branch}", np.zeros(one_branch, type.dtype.numpy))
    complete.setdefault("noise", np.zeros(pipeline.decoder.inputs["latent"].shape, np.float32))
    return complete


def _test_tokens(manifest: Manifest) -> np.ndarray | None:
    """A caption of words from all over the vocabulary, for the whole batch; None without a text encoder."""
    encoder = manifest.text_encoder
    if encoder is None:
        return None
    words = encoder.words[1:]
    count = min(encoder.context_length, _CAPTION_WORDS, len(words))
    caption = " ".join(words[index * len(words) // count] for index in range(count))
    return tokenize(encoder, [caption] * manifest.batch)


def _test_inputs(manifest: Manifest, encoded: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    """Noise from a fixed seed, and the caption's embeddings for every branch that has a text encoder (else noise, too).

    The unconditional branch gets zeros, as in the release, so that guidance has a difference to work on.
    """
    inputs = {spec.name: draw_noise(spec, _SEED) for spec in manifest.inputs}
    if manifest.text_encoder is None or encoded is None:
        return inputs
    for feed in manifest.text_encoder.feeds:
        for output, name in feed.inputs.items():
            unconditional = feed.branch == UNCONDITIONAL
            inputs[name] = np.zeros_like(inputs[name]) if unconditional else encoded[output]
    return inputs
