"""Runs modules in MindSpore Lite itself, many in one process, beside the interpreter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.mindir.lite.plan import Plan
from coopdraw.graphs.mindir.lite.writer import write_lite
from coopdraw.graphs.weights import Weight
from coopdraw.runtime.backends.lite import open_backend

Arrays: TypeAlias = dict[str, np.ndarray]


def joined(modules: Mapping[str, Module]) -> Module:
    """One module that calls the entry of each; inputs, outputs and weights have the module's name before their own.

    The modules must have no functions.
    """
    builder = GraphBuilder("main")
    functions: dict[str, Graph] = {}
    weights: dict[str, Weight] = {}
    outputs, names = [], []
    for name, module in modules.items():
        assert not module.functions
        functions[name] = _renamed(module.entry, name)
        weights |= {f"{name}:{key}": weight for key, weight in module.weights.items()}
        inputs = [builder.input(f"{name}:{value.name}", value.type) for value in module.entry.inputs]
        outputs += builder.call(functions[name], *inputs)
        names += [f"{name}:{output}" for output in module.entry.output_names]
    return Module(builder.build(outputs, names), functions, weights)


def _renamed(graph: Graph, name: str) -> Graph:
    nodes = [
        replace(node, attributes={"name": f"{name}:{node.attributes['name']}"}) if node.operator == "weight" else node
        for node in graph.nodes
    ]
    return replace(graph, name=name, nodes=tuple(nodes))


def run_in_lite(module: Module, feeds: Mapping[str, np.ndarray], folder: Path, threads: int) -> Arrays:
    """Writes a bundle with nothing but the Lite form in `folder`, and runs it."""
    (folder / "lite").mkdir(parents=True)
    path = folder / "lite" / "sampling.json"
    plan = write_lite(module, path)
    write_manifest(folder, plan)
    results = open_backend(threads)(path)([feeds[value.name] for value in module.entry.inputs])
    return dict(zip(module.entry.output_names, results, strict=True))


def write_manifest(folder: Path, plan: Plan) -> None:
    """What coopdraw-run reads of a manifest."""

    def specs(ports: tuple[tuple[str, int], ...]) -> list[dict[str, object]]:
        types = [(name, plan.values[value]) for name, value in ports]
        return [{"name": n, "shape": list(t.shape), "dtype": t.dtype.value, "meaning": n} for n, t in types]

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": 1,
        "inputs": specs(plan.inputs),
        "outputs": specs(plan.outputs),
        "text_encoder": None,
        "forms": {"lite": {"graph": "lite/sampling.json", "text_encoder": None}},
        "files": {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
