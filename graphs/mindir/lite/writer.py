"""Writes a Module for MindSpore Lite 2.0.0 on the CPU: a plan, the models it runs, and their weights."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.mindir.lite.emission import lite_type
from coopdraw.graphs.mindir.lite.legalisation import legalise
from coopdraw.graphs.mindir.lite.model_writer import build_lite_model
from coopdraw.graphs.mindir.lite.partition import Partition, partition
from coopdraw.graphs.mindir.lite.plan import Plan, PlanConstant, PlanStep
from coopdraw.graphs.mindir.variables import ALIGNMENT, Placement, write_variables
from coopdraw.graphs.passes.rewriter import free_name

VARIABLES = "variables"
CONSTANTS = "constants.bin"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def write_lite(
    module: Module, path: Path, weights: Mapping[str, Placement] | None = None, weights_folder: Path | None = None
) -> Plan:
    """Writes the plan `path` (.json) and the folder `<stem>_models` beside it; returns the plan.

    Each function of the module is a model, so that its weights are packed once however often it runs; Lite packs them
    for every copy. `weights` says what `weights_folder` has of the weights already (what `write_mindir` returned, and
    the folder of its file): the models then refer to those files. Weights are read one at a time. Raises MindirError
    for a node that has no Lite form, OSError where the disk refuses.
    """
    parts = partition(legalise(module))
    folder = path.parent / f"{path.stem}_models"
    folder.mkdir()
    placements = _place_weights(module, parts, folder, weights or {}, weights_folder)
    files = _file_names(parts.models)
    for name, graph in parts.models.items():
        (folder / files[name]).write_bytes(build_lite_model(graph, placements).SerializeToString(deterministic=True))
    plan = _plan(parts, files, folder)
    path.write_text(plan.to_json(), encoding="utf-8")
    return plan


def _place_weights(
    module: Module, parts: Partition, folder: Path, known: Mapping[str, Placement], known_folder: Path | None
) -> Mapping[str, Placement]:
    """Where the models find their weights, relative to `folder`."""
    used = sorted({name for graph in parts.models.values() for name in graph.weight_names()})
    if known_folder is None or not all(name in known for name in used):
        return write_variables({name: module.weights[name] for name in used}, folder, VARIABLES)
    to_known = PurePosixPath(os.path.relpath(known_folder, folder))
    return {name: replace(known[name], location=(to_known / known[name].location).as_posix()) for name in used}


def _file_names(models: Iterable[str]) -> dict[str, str]:
    """A file for each function, named as it is as far as names of files allow."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for name in models:
        stem = free_name(_UNSAFE.sub("_", name).lstrip(".") or "model", taken)
        taken.add(stem)
        files[name] = f"{stem}.mindir"
    return files


def _plan(parts: Partition, files: Mapping[str, str], folder: Path) -> Plan:
    numbers: dict[Value, int] = {}
    for value in (*parts.inputs, *parts.stored, *(output for run in parts.runs for output in run.outputs)):
        numbers.setdefault(value, len(numbers))
    models = {name: index for index, name in enumerate(files)}
    steps = (
        PlanStep(models[run.model], *(tuple(numbers[value] for value in side) for side in (run.inputs, run.outputs)))
        for run in parts.runs
    )
    return Plan(
        tuple(f"{folder.name}/{file}" for file in files.values()),
        tuple(lite_type(value.type) for value in numbers),
        tuple((value.name, numbers[value]) for value in parts.inputs),
        _write_constants({numbers[value]: array for value, array in parts.stored.items()}, folder),
        tuple(steps),
        tuple((name, numbers[value]) for name, value in zip(parts.output_names, parts.outputs, strict=True)),
    )


def _write_constants(arrays: Mapping[int, np.ndarray], folder: Path) -> tuple[PlanConstant, ...]:
    """One after the other at multiples of ALIGNMENT."""
    if not arrays:
        return ()
    placed = []
    with (folder / CONSTANTS).open("wb") as stream:
        for number, array in arrays.items():
            placed.append(PlanConstant(number, f"{folder.name}/{CONSTANTS}", stream.tell()))
            stream.write(np.ascontiguousarray(array).tobytes())
            stream.write(bytes(-stream.tell() % ALIGNMENT))
    return tuple(placed)
