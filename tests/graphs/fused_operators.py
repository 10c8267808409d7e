"""Fused operators: the reference against onnxruntime's formula and against what the operator is taken apart into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from graphs.onnx_modules import run_module
from graphs.onnx_oracle import checked_evaluate

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.ops.table import Attributes
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.verifier import verify


def single(name: str, types: Sequence[TensorType], attributes: Attributes) -> Module:
    """A graph of one operator, with inputs x0, x1 ..."""
    builder = GraphBuilder("main")
    inputs = [builder.input(f"x{index}", type) for index, type in enumerate(types)]
    outputs = builder.add_many(name, *inputs, **attributes)
    return Module(builder.build(outputs, [f"y{index}" for index in range(len(outputs))]))


def assert_one_meaning(
    name: str, inputs: Sequence[np.ndarray], attributes: Attributes, *, absolute: float, onnx: bool = True
) -> None:
    """Reference, decomposition and (if `onnx`) onnxruntime give the same."""
    inputs = [np.asarray(array) for array in inputs]
    wanted = checked_evaluate(name, inputs, attributes)
    feeds = {f"x{index}": array for index, array in enumerate(inputs)}
    module = single(name, [TensorType.of(array) for array in inputs], attributes)
    apart = Decomposition().run(module).module
    verify(apart)
    assert all(lookup(node.operator).decompose is None for node in apart.entry.nodes)
    results = [interpreter.run(apart, feeds)]
    if onnx:
        results.append(run_module(module, feeds))
    for found in results:
        for result, exact in zip(found.values(), wanted, strict=True):
            assert result.dtype == exact.dtype
            np.testing.assert_allclose(result.astype(np.float64), exact.astype(np.float64), rtol=0, atol=absolute)
