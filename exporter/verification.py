"""Compares a bundle with a host loop: the same inputs through the compiled graph and through eager Cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
from pydantic import ValidationError

from coopdraw.exporter.host_loop import Predict, run_host_loop
from coopdraw.exporter.loading import LoadedCell, Pipeline, load_pipeline
from coopdraw.exporter.models.build import load_eagerly
from coopdraw.exporter.parity import VerificationResult, image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
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
    source = CheckpointSource(compiled) if recipe is not None else BundleSource(bundle)
    with Session(bundle) as session, progress.stage("run the graph"):
        tokens = _test_tokens(bundle.manifest)
        encoded = None if tokens is None else session.run_text_encoder(tokens)
        inputs = _test_inputs(bundle.manifest, encoded)
        found = session.run(inputs)
    pipeline = load_pipeline(compiled, source)
    with progress.stage("run the host loop"):
        wanted = _host_loop(compiled, pipeline, inputs, progress)
        text_error = None
        if pipeline.text_encoder is not None and tokens is not None and encoded is not None:
            results = _eager(pipeline.text_encoder)(tokens)
            text_error = max(range_error(a, b) for a, b in zip(encoded.values(), results, strict=True))
    return VerificationResult(
        range_error(found["latent"], wanted["latent"]),
        image_psnr(found["image"], wanted["image"]),
        text_error,
        compiled.verify,
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


def _host_loop(
    recipe: Recipe, pipeline: Pipeline, inputs: Mapping[str, np.ndarray], progress: Progress
) -> dict[str, np.ndarray]:
    models = {name: _first(_eager(cell)) for name, cell in pipeline.experts.items()}
    return run_host_loop(recipe, models, _first(_eager(pipeline.decoder)), inputs, progress.step)


def _first(call: Callable[..., list[np.ndarray]]) -> Predict:
    return lambda *arrays: call(*arrays)[0]


def _eager(loaded: LoadedCell) -> Callable[..., list[np.ndarray]]:
    """The Cell with its weights in memory, called in PyNative mode; gives the arrays it returns."""
    import mindspore

    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    cell = load_eagerly(loaded.cell, loaded.weights)

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        results = cell(*(mindspore.Tensor(array) for array in arrays))
        return [result.asnumpy() for result in (results if isinstance(results, tuple) else (results,))]

    return call
