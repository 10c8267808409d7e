"""Writes a module as ONNX, checks the file as a whole, and runs it in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from coopdraw.graphs.ir import Module
from coopdraw.graphs.onnx.form import OnnxForm
from coopdraw.graphs.onnx.writer import write_onnx


def written(module: Module, folder: Path, form: OnnxForm) -> Path:
    """A file that onnx.checker accepts with all types and shapes inferred."""
    path = folder / "graph.onnx"
    write_onnx(module, path, form)
    onnx.checker.check_model(str(path), full_check=True)
    return path


def run(path: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name; inputs of the file that `feeds` doesn't have, and others, are errors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def graphs_of(model: Any) -> Iterator[Any]:
    """The graph and those inside its nodes; not the functions."""
    pending = [model.graph]
    while pending:
        graph = pending.pop()
        yield graph
        pending += [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]


def operators_of(model: Any) -> list[str]:
    """The types of all nodes outside of functions."""
    return [node.op_type for graph in graphs_of(model) for node in graph.node]
