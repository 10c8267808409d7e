"""From a recipe to a bundle: checkpoints, Cells, traced graphs, program, passes, files, verification."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coopdraw.exporter.ascend_form import ASCEND, write_ascend, write_kit
from coopdraw.exporter.assembly import trace_program
from coopdraw.exporter.bundle_forms import Written, write_forms
from coopdraw.exporter.bundle_kernels import put_kernels
from coopdraw.exporter.describing import GRAPH_FILE, TEXT_ENCODER_FILE, describe_bundle
from coopdraw.exporter.errors import RecipeError
from coopdraw.exporter.expectations import check_fusions
from coopdraw.exporter.loading import Pipeline, load_pipeline
from coopdraw.exporter.output_folder import atomic_folder
from coopdraw.exporter.progress import Progress
from coopdraw.exporter.recipe import Recipe
from coopdraw.exporter.reference_weights import write_reference
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.exporter.text_encoding import build_text_encoder
from coopdraw.exporter.verification import verify_bundle
from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.manager import PassManager, PassRecord
from coopdraw.graphs.passes.pipelines import basic_passes, passes
from coopdraw.kernels.ascend.lint_finding import Finding
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import MANIFEST_NAME, Manifest
from coopdraw.runtime.manifest_reader import parse_manifest

_BLOCK = 1 << 20


def compile_pipeline(
    recipe: Recipe,
    output: Path,
    *,
    verify: bool = True,
    dump_ir: Path | None = None,
    report: Path | None = None,
    progress: Progress,
) -> Manifest:
    """Compiles `recipe` into the bundle folder `output` and returns its manifest.

    The folder appears whole or not at all; a bundle that is there is replaced. With `verify` the result is compared
    with a host loop, and a missed limit of the recipe raises CheckError and leaves no bundle. `dump_ir` gets the text
    IR after every pass, `report` a JSON file with timings (which are never in the bundle). Raises CoopdrawError for
    whatever is wrong with recipe, checkpoints or models.
    """
    started = time.monotonic()
    if report is not None and not report.absolute().parent.is_dir():
        raise RecipeError(f"{report.absolute().parent} is not a folder; make it or write the report elsewhere")
    with atomic_folder(output) as folder:
        with progress.stage("open checkpoints and build Cells"):
            pipeline = load_pipeline(recipe, CheckpointSource(recipe))
        for note in pipeline.assumptions():
            progress.note(note)
        progress.expect(len(pipeline.sampling_cells()) + (6 if verify else 2))
        traced = trace_program(recipe, pipeline, progress)
        program, records = run_passes(recipe, traced, dump_ir, progress)
        with progress.stage("write the graph and its weights"):
            manifest, findings = _write_files(folder, recipe, pipeline, traced, program, records)
        for finding in findings:
            progress.note(str(finding))
        if verify:
            manifest = _verify(folder, recipe, manifest, progress)
    if report is not None:
        _write_report(report, records, time.monotonic() - started, manifest)
    return manifest


def run_passes(
    recipe: Recipe, module: Module, dump_ir: Path | None, progress: Progress
) -> tuple[Module, tuple[PassRecord, ...]]:
    """The module after the recipe's passes, and what each did; raises CheckError for a fusion that was missed."""
    with progress.stage("run passes"):
        stages = passes(recipe.passes.level, recipe.passes.disabled)
        program, records = PassManager(stages, dump_folder=dump_ir).run(module)
    check_fusions(recipe.expect.fusions, program, records)
    return program, records


def _write_files(
    folder: Path,
    recipe: Recipe,
    pipeline: Pipeline,
    traced: Module,
    program: Module,
    records: Sequence[PassRecord],
) -> tuple[Manifest, tuple[Finding, ...]]:
    """The manifest of what was written, and what the device can't run of it."""
    kernels = put_kernels(folder, program, recipe.target.kernels)
    placements = write_mindir(program, folder / GRAPH_FILE, kernels)
    text_encoder, encoder = build_text_encoder(pipeline.text_encoders), None
    if text_encoder is not None:
        text_encoder, _ = PassManager(basic_passes()).run(text_encoder)
        encoder = Written("text_encoder", text_encoder, write_mindir(text_encoder, folder / TEXT_ENCODER_FILE))
    sampling = Written("sampling", program, placements)
    forms = write_forms(folder, recipe.target.forms, sampling, encoder)
    ascend = None if recipe.target.name == "cpu" else write_ascend(folder, recipe, sampling, encoder)
    write_reference(traced.weights, program.weights, folder)
    stored = read_mindir(folder / GRAPH_FILE)
    manifest = describe_bundle(recipe, pipeline, stored, text_encoder, placements, records)
    if ascend is not None:
        write_kit(folder, manifest, ascend)
        forms[ASCEND] = ascend.form
        manifest = replace(manifest, device=ascend.as_dict())
    manifest = replace(manifest, forms=forms, files=_hashes(folder))
    _write_manifest(folder, manifest)
    return manifest, () if ascend is None else ascend.findings


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    text = manifest.to_json()
    parse_manifest(text)
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


def _verify(folder: Path, recipe: Recipe, manifest: Manifest, progress: Progress) -> Manifest:
    result = verify_bundle(Bundle.open(folder, check=False), recipe, progress)
    if not result.passed:
        raise CheckError(
            f"the compiled graph misses the recipe's limits ({'; '.join(result.lines())}); "
            "no bundle was written, compile with --no-verify to look at it"
        )
    manifest = replace(manifest, verification=result.as_dict())
    _write_manifest(folder, manifest)
    return manifest


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file by relative path."""
    hashes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        hashes[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return hashes


def _write_report(path: Path, records: Sequence[PassRecord], seconds: float, manifest: Manifest) -> None:
    content = {
        "seconds": round(seconds, 3),
        "passes": [record.as_manifest() | {"seconds": round(record.seconds, 4)} for record in records],
        "verification": manifest.verification,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
