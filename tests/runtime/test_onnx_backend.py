"""The onnx backend runs what the writer wrote, and says what is wrong with files and inputs in one sentence."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.onnx.form import ONNXRUNTIME
from coopdraw.graphs.onnx.writer import write_onnx
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from coopdraw.runtime.backends import LoadedGraph, open_backend
from coopdraw.runtime.errors import BackendError

WEIGHT = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two inputs and two outputs, not in alphabetical order."""
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 4)))
    a = builder.input("a", TensorType(DType.FLOAT32, (2, 3)))
    product = builder.add("linear", x, builder.weight("weight", TensorType(DType.FLOAT32, WEIGHT.shape)))
    entry = builder.build([builder.add("add", product, a), x], ["sum", "again"])
    write_onnx(Module(entry, {}, {"weight": ArrayWeight(WEIGHT)}), tmp_path / "graph.onnx", ONNXRUNTIME)
    return tmp_path / "graph.onnx"


def load(path: Path) -> LoadedGraph:
    return open_backend("onnx", 1)(path)


def inputs() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal(shape).astype(np.float32) for shape in ((2, 4), (2, 3))]


@pytest.mark.parametrize("num_threads", [None, 1, 2])
def test_outputs_are_in_the_graphs_order(path: Path, num_threads: int | None) -> None:
    graph = open_backend("onnx", num_threads)(path)
    x, a = inputs()
    for _ in range(2):
        total, again = graph([x, a])
        np.testing.assert_allclose(total, x @ WEIGHT.T + a, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays[:1], "has 2 inputs, but was given 1"),
        (lambda arrays: arrays[::-1], r"takes x of shape \[2, 4\], not \[2, 3\]"),
        (lambda arrays: [arrays[0][:1], arrays[1]], r"takes x of shape \[2, 4\], not \[1, 4\]"),
        (lambda arrays: [arrays[0], arrays[1].astype(np.float64)], "Unexpected input data type"),
    ],
)
def test_wrong_inputs(path: Path, change: Callable[[list[np.ndarray]], list[np.ndarray]], message: str) -> None:
    with pytest.raises(BackendError, match=message) as error:
        load(path)(change(inputs()))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "File doesn't exist"),
        (lambda path: path.write_bytes(b""), "No graph was found"),
        (lambda path: path.write_bytes(b"no protobuf" * 10), "Protobuf parsing failed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "cannot load"),
        (lambda path: (path.parent / "graph_variables/data_0").unlink(), "graph_variables/data_0"),
        (lambda path: (path.parent / "graph_variables/data_0").write_bytes(bytes(70)), "out of bounds|file_length"),
        (
            lambda path: path.write_bytes(
                path.read_bytes().replace(b"graph_variables/data_0", b"../../../../etc/passwd")
            ),
            "outside|escapes model directory",
        ),
    ],
    ids=["gone", "empty", "garbage", "truncated", "no weights", "weights truncated", "weights elsewhere"],
)
def test_damaged_files(path: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(path)
    with pytest.raises(BackendError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert "ONNXRuntimeError" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BackendError, match="`pip install onnxruntime`"):
        open_backend("onnx", None)
