"""Compares a bundle with a host loop: the same inputs through the compiled graph and through eager Cells."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from coopdraw.exporter.host_loop import Predict, run_host_loop
from coopdraw.exporter.loading import LoadedCell, Pipeline, load_pipeline
from coopdraw.exporter.models.build import load_eagerly
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe, Verify
from coopdraw.exporter.sources import BundleSource, CheckpointSource
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BundleError
from coopdraw.runtime.manifest import MANIFEST_NAME
from coopdraw.runtime.noise import draw_noise
from coopdraw.runtime.prompt import UNCONDITIONAL, prompt_inputs
from coopdraw.runtime.session import Session
from pydantic import ValidationError

_SEED = 0
_CAPTION_WORDS = 4
_BEST_PSNR = 150.0  # a finite stand-in for identical images: JSON has no infinity, and float32 can't show more


@dataclass(frozen=True)
class VerificationResult:
    """Errors of a bundle against the host loop, and the limits they were held to."""

    latent_error: float
    image_psnr: float
    limits: Verify

    @property
    def passed(self) -> bool:
        return self.latent_error <= self.limits.latent_error and self.image_psnr >= self.limits.image_psnr

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. Figures have three digits: what lies below is noise of the order of summation."""
        return {
            "reference": "host loop: eager Cells, NumPy schedule",
            "latent_error": float(f"{self.latent_error:.2e}"),
            "latent_error_limit": self.limits.latent_error,
            "image_psnr": round(self.image_psnr, 1),
            "image_psnr_limit": self.limits.image_psnr,
            "passed": self.passed,
        }

    def lines(self) -> list[str]:
        latent = "ok" if self.latent_error <= self.limits.latent_error else "MISSED"
        image = "ok" if self.image_psnr >= self.limits.image_psnr else "MISSED"
        return [
            f"latent: max error {self.latent_error:.2e} of its range (limit {self.limits.latent_error:.0e}): {latent}",
            f"image: PSNR {self.image_psnr:.1f} dB (limit {self.limits.image_psnr:.1f} dB): {image}",
        ]


def verify_bundle(bundle: Bundle, recipe: Recipe | None, progress: Progress) -> VerificationResult:
    """Runs the bundle and the host loop on the same inputs.

    With `recipe`, Cells and weights come from its checkpoints; without, from the bundle's manifest and stored weights.
    """
    compiled = recipe or _recipe_of(bundle)
    source = CheckpointSource(compiled) if recipe is not None else BundleSource(bundle)
    with Session(bundle) as session, progress.stage("run the graph"):
        inputs = _test_inputs(session)
        found = session.run(inputs)
    with progress.stage("run the host loop"):
        wanted = _host_loop(compiled, load_pipeline(compiled, source), inputs, progress)
    return VerificationResult(
        latent_error(found["latent"], wanted["latent"]), image_psnr(found["image"], wanted["image"]), compiled.verify
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


def _test_inputs(session: Session) -> dict[str, np.ndarray]:
    """Noise and conditions from a fixed seed: a caption of the vocabulary's words where there is a text encoder."""
    manifest = session.bundle.manifest
    encoder = manifest.text_encoder
    if encoder is None:
        return {spec.name: draw_noise(spec, _SEED) for spec in manifest.inputs}
    words = encoder.words[1:]
    count = min(encoder.context_length, _CAPTION_WORDS, len(words))
    caption = " ".join(words[index * len(words) // count] for index in range(count))
    branches = dict.fromkeys(feed.branch for feed in encoder.feeds if feed.branch != UNCONDITIONAL)
    return prompt_inputs(session, {branch: [caption] * manifest.batch for branch in branches}, _SEED)


def _host_loop(
    recipe: Recipe, pipeline: Pipeline, inputs: Mapping[str, np.ndarray], progress: Progress
) -> dict[str, np.ndarray]:
    models = {name: _eager(cell) for name, cell in pipeline.experts.items()}
    return run_host_loop(recipe, models, _eager(pipeline.decoder), inputs, progress.step)


def _eager(loaded: LoadedCell) -> Predict:
    """The Cell with its weights in memory, called in PyNative mode."""
    import mindspore

    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    cell = load_eagerly(loaded.cell, loaded.weights)

    def call(*arrays: np.ndarray) -> np.ndarray:
        result: np.ndarray = cell(*(mindspore.Tensor(array) for array in arrays)).asnumpy()
        return result

    return call


def latent_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest absolute difference over the range (max - min) of `wanted`; NaN counts as infinite."""
    spread = float(wanted.max() - wanted.min()) or 1.0
    error = float(np.max(np.abs(found.astype(np.float64) - wanted))) / spread
    return error if np.isfinite(error) else float("inf")


def image_psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1], at most 150."""
    mean_square = float(np.mean((found.astype(np.float64) - wanted) ** 2))
    if not np.isfinite(mean_square):
        return 0.0
    return _BEST_PSNR if mean_square == 0.0 else min(_BEST_PSNR, -10.0 * math.log10(mean_square))
