"""Runs a partition by the interpreter, as coopdraw-run runs its plan by Lite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from coopdraw.graphs import interpreter
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.mindir.lite.legalisation import legalise
from coopdraw.graphs.mindir.lite.partition import Partition, partition
from coopdraw.graphs.verifier import verify


def run_by_parts(module: Module, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Legalises and partitions the module, and runs one part after the other."""
    legal = legalise(module)
    verify(legal)
    parts = partition(legal)
    values: dict[Value, np.ndarray] = {value: feeds[value.name] for value in parts.inputs} | dict(parts.stored)
    for run in parts.runs:
        values.update(
            zip(run.outputs, _run_part(legal, parts, run.model, [values[v] for v in run.inputs]), strict=True)
        )
    return {name: values[value] for name, value in zip(parts.output_names, parts.outputs, strict=True)}


def _run_part(module: Module, parts: Partition, name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    graph = parts.models[name]
    part = Module(graph, {}, {key: module.weights[key] for key in graph.weight_names()})
    verify(part)
    feeds = {value.name: array for value, array in zip(graph.inputs, arrays, strict=True)}
    return list(interpreter.run(part, feeds).values())
