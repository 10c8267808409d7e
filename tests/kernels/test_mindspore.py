"""The kernels as `Custom` nodes of a MindIR, run by MindSpore, against the interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.kernels.cpu.build import cpu_library
from coopdraw.kernels.cpu.selection import cpu_kernel
from coopdraw.runtime.backends.mindspore import prepare_environment

prepare_environment()

CHANNELS, SIZE = 32, 16
IMAGE = TensorType(DType.FLOAT32, (2, CHANNELS, SIZE, SIZE))
VECTOR = TensorType(DType.FLOAT32, (2, CHANNELS))
GAMMA = TensorType(DType.FLOAT32, (CHANNELS,))


def block() -> Graph:
    """Every fused operator once, as a UNet strings them together."""
    builder = GraphBuilder("block")
    x, time = builder.input("x", IMAGE), builder.input("time", VECTOR)
    gamma, beta = builder.weight("gamma", GAMMA), builder.weight("beta", GAMMA)
    norm: dict[str, Any] = {"groups": 8, "epsilon": 1e-5, "activation": "silu", "modulated": False, "keep_sum": True}
    y, total = builder.add_many("fused_group_norm", x, gamma, beta, time, add="channel", **norm)
    y = builder.add("bias_activation", y, beta, axis=1, activation="silu")
    tokens = builder.add("reshape", y, shape=(2, CHANNELS, SIZE * SIZE))
    tokens = builder.add("transpose", tokens, permutation=(0, 2, 1))
    attended = builder.add("attention", tokens, tokens, tokens, heads=2, scale=0.25, layout="BSH")
    tokens, residual = builder.add_many("fused_layer_norm", attended, gamma, beta, tokens, epsilon=1e-5, keep_sum=True)
    doubled = builder.add("concat", tokens, residual, axis=2)
    tokens = builder.add("geglu", doubled, approximate="none", gate="second")
    y = builder.add("reshape", builder.add("transpose", tokens, permutation=(0, 2, 1)), shape=IMAGE.shape)
    return builder.build([builder.add("linear_combination", y, total, weights=(1.5, -0.5))])


def module() -> Module:
    """The block called twice."""
    function = block()
    builder = GraphBuilder("main")
    x, time = builder.input("x", IMAGE), builder.input("time", VECTOR)
    (y,) = builder.call(function, *builder.call(function, x, time), time)
    generator = np.random.default_rng(1)
    weights = {name: ArrayWeight(generator.standard_normal(CHANNELS, np.float32)) for name in ("gamma", "beta")}
    return Module(builder.build([y], ["y"]), {"block": function}, weights)


def test_a_graph_of_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mindspore

    whole = module()
    verify(whole)
    path = tmp_path / "graph.mindir"
    write_mindir(whole, path, cpu_kernel)
    generator = np.random.default_rng(0)
    feeds = {value.name: generator.standard_normal(value.type.shape, np.float32) for value in whole.entry.inputs}
    mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
    cell = mindspore.nn.GraphCell(mindspore.load(str(path)))
    monkeypatch.chdir(cpu_library().parents[1])  # the graph names its library relative to this folder
    tensors = [mindspore.Tensor(feeds[value.name]) for value in whole.entry.inputs]
    first, second = (cell(*tensors).asnumpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    (want,) = interpreter.run(whole, feeds).values()
    # float32 on both sides, through two normalisations each way, at values up to 10.
    np.testing.assert_allclose(first, want, rtol=1e-5, atol=1e-4)
