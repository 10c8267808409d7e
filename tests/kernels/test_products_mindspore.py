"""Convolutions and dense layers as `Custom` nodes of a MindIR, run by MindSpore, against the interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.kernels.cpu.build import cpu_library
from coopdraw.kernels.cpu.selection import cpu_kernel
from coopdraw.runtime.backends.mindspore import prepare_environment

prepare_environment()

CONVOLUTION = {"padding": (1, 1, 1, 1), "dilation": (1, 1)}


def module() -> Module:
    """Convolutions in Winograd's and in the direct form, grouped ones, which MindSpore computes, and dense layers."""
    generator = np.random.default_rng(0)
    shapes = {"first": (32, 4, 3, 3), "bias": (32,), "down": (32, 32, 3, 3), "grouped": (32, 8, 3, 3)}
    shapes |= {"wide": (96, 32), "narrow": (32, 96)}
    arrays = {name: 0.2 * generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    builder = GraphBuilder("main")
    weights = {name: builder.weight(name, TensorType.of(array)) for name, array in arrays.items()}
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 4, 16, 16)))
    y = builder.add("conv2d", x, weights["first"], weights["bias"], stride=(1, 1), groups=1, **CONVOLUTION)
    y = builder.add("conv2d", y, weights["down"], stride=(2, 2), groups=1, **CONVOLUTION)
    y = builder.add("conv2d", y, weights["grouped"], weights["bias"], stride=(1, 1), groups=4, **CONVOLUTION)
    y = builder.add("transpose", builder.add("reshape", y, shape=(2, 32, 64)), permutation=(0, 2, 1))
    y = builder.add("matmul", y, weights["wide"], transpose_a=False, transpose_b=True)
    y = builder.add("linear", y, weights["narrow"], weights["bias"])
    return Module(builder.build([y], ["y"]), weights={name: ArrayWeight(array) for name, array in arrays.items()})


def test_a_graph_of_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mindspore

    whole = module()
    path = tmp_path / "graph.mindir"
    write_mindir(whole, path, cpu_kernel)
    x = np.random.default_rng(1).standard_normal((2, 4, 16, 16), np.float32)
    mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
    cell = mindspore.nn.GraphCell(mindspore.load(str(path)))
    monkeypatch.chdir(cpu_library().parents[1])  # the graph names its library relative to this folder
    first, second = (cell(mindspore.Tensor(x)).asnumpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    (want,) = interpreter.run(whole, {"x": x}).values()
    # float32 on both sides: four sums of some hundred products each, at values up to 20.
    np.testing.assert_allclose(first, want, rtol=1e-5, atol=2e-5)


def test_the_graph_is_read_as_it_was_written(tmp_path: Path) -> None:
    whole = module()
    write_mindir(whole, tmp_path / "graph.mindir", cpu_kernel)
    read = read_mindir(tmp_path / "graph.mindir")
    plain = ("conv2d", "matmul", "linear")
    for before, after in zip(
        *([node for node in graph.nodes if node.operator in plain] for graph in (whole.entry, read.entry)), strict=True
    ):
        assert (after.operator, dict(after.attributes)) == (before.operator, dict(before.attributes))
        assert [value.type for value in after.inputs] == [value.type for value in before.inputs]
