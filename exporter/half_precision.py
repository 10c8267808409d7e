"""Checks a bundle's program in half precision, emulated on the CPU, beside float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ml_dtypes
import numpy as np

from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.parity import Check, image_psnr, range_error
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.verification import check_same_pipeline, recipe_of, sample_inputs, sample_tokens
from coopdraw.graphs.half_arithmetic import Failure
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.half_precision import HalfPrecision, known_names, unknown_names
from coopdraw.graphs.precision_report import GraphPrecision, PrecisionReport, measure_precision
from coopdraw.graphs.types import DType
from coopdraw.graphs.verifier import verify
from coopdraw.runtime.bundle import Bundle

EMULATED = "emulated on the CPU, not run on an NPU"


@dataclass(frozen=True)
class HalfPrecisionResult:
    """What half precision does to a bundle's pictures, held to the recipe's `verify.half_psnr`.

    `kept` are the names that stayed in float32, `converted` is what the pass did. Errors are those of the whole loop:
    the latent's largest over its range, and the image's PSNR in dB.
    """

    dtype: DType
    kept: tuple[str, ...]
    converted: PassResult
    report: PrecisionReport
    least_psnr: float

    @property
    def latent_error(self) -> float:
        return range_error(self.report.found["latent"], self.report.wanted["latent"])

    @property
    def image(self) -> Check:
        """The picture against that of float32."""
        psnr = image_psnr(self.report.found["image"], self.report.wanted["image"])
        return Check("image", "PSNR in dB", psnr, self.least_psnr, most=False)

    @property
    def passed(self) -> bool:
        """Whether everything stayed finite and the picture is near enough to that of float32."""
        finite = all(np.isfinite(array).all() for array in self.report.found.values())
        return finite and not self.report.failures and self.image.passed

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; None stands for what isn't finite."""
        return {
            "precision": str(self.dtype),
            "executor": f"NumPy: {EMULATED}",
            "keep_float32": list(self.kept),
            "pass": {"notes": dict(self.converted.notes), "misses": [asdict(miss) for miss in self.converted.misses]},
            "functions": [self._function(graph) for graph in self.report.graphs],
            "failures": [self._failure(failure) for failure in self.report.failures],
            "latent_error": _digits(self.latent_error),
            "checks": [self.image.as_dict()],
            "passed": self.passed,
        }

    def lines(self) -> list[str]:
        """For people."""
        kept = f"{', '.join(self.kept) or 'no network'} and the sampler stay in float32"
        lines = [f"{self.dtype}, {EMULATED}; {kept}"]
        lines += [self._line(graph) for graph in self.report.graphs if graph.in_half or graph.range.elements]
        if self.report.failures:
            lines.append(self._advice(self.report.failures[0]))
        lines.append(f"latent: {self.latent_error:.3g} max error / range")
        return [*lines, self.image.line()]

    def _function(self, graph: GraphPrecision) -> dict[str, Any]:
        seen = graph.range
        return {
            "name": graph.name,
            "precision": str(self.dtype if graph.in_half else DType.FLOAT32),
            "calls": len(graph.errors),
            "largest": _digits(seen.largest),
            "largest_at": seen.node,
            "headroom": _digits(seen.headroom(self.dtype)),
            "infinite": seen.infinite,
            "invalid": seen.invalid,
            "small_share": _digits(seen.small_share),
            "error": _digits(max(graph.errors)),
            "errors": [_digits(error) for error in graph.errors],
        }

    def _line(self, graph: GraphPrecision) -> str:
        seen = graph.range
        if not graph.in_half:
            what = f"{graph.name}, rounding what it passes on"
        else:
            count = len(graph.errors)
            what = f"{graph.name}, {count} call{'s' if count != 1 else ''}"
        parts = [
            f"largest {seen.largest:.3g} at {seen.node}" if seen.node else "nothing but zeros",
            f"headroom 2^{seen.headroom(self.dtype):.1f}" if seen.largest else "",
            f"{seen.infinite} became infinite, {seen.invalid} NaN" if seen.infinite or seen.invalid else "all finite",
            f"{seen.small_share:.2%} below the normal range",
            f"outputs differ by {max(graph.errors):.2%} at worst" if graph.in_half else "",
        ]
        return f"{what}: {'; '.join(part for part in parts if part)}"

    def _failure(self, failure: Failure) -> dict[str, Any]:
        return asdict(failure) | {"largest": _digits(failure.largest), "keep_float32": list(self._fix(failure))}

    def _fix(self, failure: Failure) -> tuple[str, ...]:
        """The names to keep, with the model that failed among them."""
        model = (failure.called or failure.graph).partition(".")[0]
        return tuple(dict.fromkeys((*self.kept, model)))

    def _advice(self, failure: Failure) -> str:
        """Where it began and what helps."""
        names = ", ".join(f'"{name}"' for name in self._fix(failure))
        limit = float(ml_dtypes.finfo(self.dtype.numpy).max)
        if failure.weight is not None:
            cause = f"its weight {failure.weight} is above {self.dtype}'s largest number, {limit:g}"
        elif failure.largest > limit:
            cause = f"it reaches {failure.largest:.3g}, and {self.dtype} ends at {limit:g}"
        else:
            cause = "its results aren't numbers"
        cell = "" if failure.called or not failure.cell else f'; perhaps "{failure.graph}/{failure.cell}" is enough'
        return (
            f"not finite from {failure.node} of {failure.graph} on: {cause}; "
            f"set keep_float32 = [{names}] in [target]{cell}"
        )


def verify_half(
    bundle: Bundle,
    recipe: Recipe | None,
    dtype: DType,
    keep_float32: Sequence[str] | None,
    progress: Progress,
) -> HalfPrecisionResult:
    """Runs the bundle's program in NumPy twice on the inputs of `verify`: in float32, and with its networks in `dtype`.

    What stays in float32 is `keep_float32`, or where that is None what `recipe` (without one: the bundle's) says. Needs
    no MindSpore. Raises RecipeError for names that the program doesn't have.
    """
    compiled = recipe or recipe_of(bundle)
    check_same_pipeline(compiled, bundle)
    with progress.stage("convert the program"):
        module = DeadCode().run(read_mindir(bundle.graph_path)).module
        kept = known_kept_names(module, compiled, keep_float32)
        converted = HalfPrecision(kept, dtype.value).run(module)
        verify(converted.module)
    with progress.stage("run it in both precisions"):
        inputs = sample_inputs(bundle.manifest, _encoded(bundle))
        report = measure_precision(module, converted.module, inputs, progress.step)
    return HalfPrecisionResult(dtype, kept, converted, report, compiled.verify.half_psnr)


def kept_names(recipe: Recipe) -> tuple[str, ...]:
    """What a recipe keeps in float32: what it says, or every VAE."""
    if recipe.target.keep_float32 is not None:
        return recipe.target.keep_float32
    return tuple(name for name, model in recipe.models.items() if model.kind == "vae")


def known_kept_names(module: Module, recipe: Recipe, keep_float32: Sequence[str] | None = None) -> tuple[str, ...]:
    """`keep_float32`, or what the recipe keeps, as far as the program has it: models that no step uses are left out.

    Raises RecipeError for a name that neither the program nor the recipe has.
    """
    names = kept_names(recipe) if keep_float32 is None else tuple(dict.fromkeys(keep_float32))
    missing = unknown_names(module, names)
    unknown = [name for name in missing if name not in recipe.models and name not in recipe.adapters]
    if unknown:
        raise RecipeError(
            f"keep_float32 names {', '.join(unknown)}, which the program doesn't have; name one of "
            f"{', '.join(known_names(module))}, or a Cell as in {_example(module)}"
        )
    return tuple(name for name in names if name not in missing)


def _example(module: Module) -> str:
    """How a Cell of this program is named."""
    name = known_names(module)[-1]
    cells = [node.source for node in module.functions[name].nodes if node.source]
    return f"{name}/{cells[0] if cells else 'conv_in'}"


def _encoded(bundle: Bundle) -> Mapping[str, np.ndarray] | None:
    """What the text encoder makes of the test's caption, in NumPy."""
    tokens, path = sample_tokens(bundle.manifest), bundle.text_encoder_path
    if tokens is None or path is None:
        return None
    module = read_mindir(path)
    return run(module, {module.entry.inputs[0].name: tokens})


def _digits(figure: float) -> float | None:
    """Three digits; None for what JSON can't hold."""
    return float(f"{figure:.3g}") if math.isfinite(figure) else None
