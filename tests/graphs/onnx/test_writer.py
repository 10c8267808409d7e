"""Whole modules: calls, names, weights in files beside the model, the same bytes every time."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs.mindir.operator_cases import module_cases
from graphs.onnx.running import graphs_of, run, written
from graphs.strategies import module_inputs, modules
from hypothesis import assume, given, settings

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import OnnxError, WeightError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.onnx.form import ONNXRUNTIME, PORTABLE, lite_form
from coopdraw.graphs.onnx.protobuf import onnx as onnx_package
from coopdraw.graphs.onnx.writer import StoredWeights, write_onnx
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight

FORMS = {"portable": PORTABLE, "onnxruntime": ONNXRUNTIME, "lite": lite_form()}
CALLS, FEEDS = module_cases()["calls"]


def assert_runs(path: Path, module: Module, feeds: Mapping[str, np.ndarray]) -> None:
    found = run(path, feeds)
    wanted = interpreter.run(module, feeds)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        # float32 sums of a few numbers around 1 in another order
        np.testing.assert_allclose(found[name], array, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_calls_weights_and_handed_through_inputs(form: str, tmp_path: Path) -> None:
    assert_runs(written(CALLS, tmp_path, FORMS[form]), CALLS, FEEDS)


@pytest.mark.parametrize("form", FORMS)
def test_writing_twice_gives_the_same_bytes(form: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_onnx(CALLS, tmp_path / name / "graph.onnx", FORMS[form])
    for file in ("graph.onnx", "graph_variables/data_0"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Nothing depends on the order of sets or on ids."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); "
        "from graphs.mindir.operator_cases import module_cases; "
        "from coopdraw.graphs.onnx.writer import write_onnx; "
        "write_onnx(module_cases()['calls'][0], Path(sys.argv[2]) / 'graph.onnx')"
    )
    tests = Path(__file__).resolve().parents[2]
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        arguments = [sys.executable, "-c", code, str(tests), str(tmp_path / seed)]
        subprocess.run(arguments, env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "1/graph.onnx").read_bytes() == (tmp_path / "2/graph.onnx").read_bytes()


def test_weights_are_outside_of_the_model(tmp_path: Path) -> None:
    path = written(CALLS, tmp_path, PORTABLE)
    model = onnx.load(str(path), load_external_data=False)
    stored = {item.name: item for graph in graphs_of(model) for item in graph.initializer}
    assert set(stored) == {"inner.weight", "bias"}
    for item in stored.values():
        entries = {entry.key: entry.value for entry in item.external_data}
        assert entries["location"] == "graph_variables/data_0"
        assert int(entries["offset"]) % 64 == 0
        assert not item.raw_data


def test_weights_of_another_form_in_the_same_folder_are_used_as_they_are(tmp_path: Path) -> None:
    stored = StoredWeights(tmp_path, write_mindir(CALLS, tmp_path / "graph.mindir"))
    placements = write_onnx(CALLS, tmp_path / "graph.onnx", stored=stored)
    assert placements == stored.placements
    onnx.checker.check_model(str(tmp_path / "graph.onnx"), full_check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.mindir", "graph.onnx", "graph_variables"]
    assert_runs(tmp_path / "graph.onnx", CALLS, FEEDS)


def test_weights_of_another_form_elsewhere_are_copied(tmp_path: Path) -> None:
    """The checker refuses files with two names, so these are none."""
    stored = StoredWeights(tmp_path, write_mindir(CALLS, tmp_path / "graph.mindir"))
    (tmp_path / "onnx").mkdir()
    path = tmp_path / "onnx" / "graph.onnx"
    write_onnx(CALLS, path, stored=stored)
    onnx.checker.check_model(str(path), full_check=True)
    copy = tmp_path / "onnx/graph_variables/data_0"
    assert copy.read_bytes() == (tmp_path / "graph_variables/data_0").read_bytes()
    assert copy.stat().st_nlink == 1
    assert_runs(path, CALLS, FEEDS)


def test_file_systems_without_ranges_get_plain_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredWeights(tmp_path, write_mindir(CALLS, tmp_path / "graph.mindir"))
    (tmp_path / "onnx").mkdir()

    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    write_onnx(CALLS, tmp_path / "onnx" / "graph.onnx", stored=stored)
    assert_runs(tmp_path / "onnx" / "graph.onnx", CALLS, FEEDS)


def test_a_full_disk_is_not_a_reason_to_copy_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredWeights(tmp_path, write_mindir(CALLS, tmp_path / "graph.mindir"))
    (tmp_path / "onnx").mkdir()

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_onnx(CALLS, tmp_path / "onnx" / "graph.onnx", stored=stored)
    assert not (tmp_path / "onnx" / "graph.onnx").exists()


def test_stored_weights_must_be_complete(tmp_path: Path) -> None:
    with pytest.raises(OnnxError, match="doesn't have the weight bias; write the weights anew"):
        write_onnx(CALLS, tmp_path / "graph.onnx", stored=StoredWeights(tmp_path, {}))
    places = {name: Placement("graph_variables/data_0", 64, 4, "") for name in CALLS.weights}
    with pytest.raises(OnnxError, match=r"is float32\[.*\], but 4 bytes are stored for it"):
        write_onnx(CALLS, tmp_path / "graph.onnx", stored=StoredWeights(tmp_path, places))


@pytest.mark.slow
def test_a_model_of_more_than_two_gigabytes(tmp_path: Path) -> None:
    """The file is sparse: three gigabytes of zeros, and ones behind them."""
    size = 3 << 30
    data = tmp_path / "graph_variables" / "data_0"
    data.parent.mkdir()
    with data.open("wb") as stream:
        stream.truncate(size)
        stream.seek(size)
        stream.write(np.ones(4, np.float32).tobytes())
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (4,)))
    tables, weights = {}, dict[str, Weight]()
    for name, offset, shape in (("large", 0, (size // 16, 4)), ("ones", size, (4,))):
        type = TensorType(DType.FLOAT32, shape)
        weights[name] = FileWeight(data, ((offset, type.nbytes),), type, type)
        tables[name] = Placement("graph_variables/data_0", offset, type.nbytes, "")
    rows = builder.add(
        "gather", builder.weight("large", weights["large"].type), builder.constant(np.int64([7])), axis=0
    )
    total = builder.add("add", builder.add("add", rows, x), builder.weight("ones", weights["ones"].type))
    module = Module(builder.build([total], ["y"]), {}, weights)
    write_onnx(module, tmp_path / "graph.onnx", stored=StoredWeights(tmp_path, tables))
    onnx.checker.check_model(str(tmp_path / "graph.onnx"), full_check=True)
    feeds = {"x": np.arange(4, dtype=np.float32)}
    np.testing.assert_array_equal(run(tmp_path / "graph.onnx", feeds)["y"], [feeds["x"] + 1])


def named(inputs: Sequence[str], outputs: Sequence[str]) -> Module:
    builder = GraphBuilder("main")
    values = [builder.input(name, TensorType(DType.FLOAT32, (2,))) for name in inputs]
    return Module(builder.build([builder.add("exp", values[0]) for _ in outputs], outputs))


def test_an_output_with_an_inputs_name_gets_another(tmp_path: Path) -> None:
    write_onnx(named(["x", "x.output"], ["x", "y"]), tmp_path / "graph.onnx")
    graph = onnx.load(tmp_path / "graph.onnx").graph
    assert [output.name for output in graph.output] == ["x.output_2", "y"]
    zeros = np.zeros(2, np.float32)
    found = run(tmp_path / "graph.onnx", {"x": zeros, "x.output": zeros})
    np.testing.assert_array_equal(found["x.output_2"], zeros + 1)


def test_names_that_ONNX_cannot_have(tmp_path: Path) -> None:  # noqa: N802
    with pytest.raises(OnnxError, match="an input or output of main has no name; give it one"):
        write_onnx(named(["x", ""], ["y"]), tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def test_names_of_weights_and_values_may_be_those_of_inputs_and_outputs(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2,)))
    weight = builder.weight("y", TensorType(DType.FLOAT32, (2,)))
    doubled = builder.add("add", x, x, name="z")
    weights = {"y": ArrayWeight(np.float32([1, 2])), "x": ArrayWeight(np.float32([3, 4]))}
    module = Module(builder.build([builder.add("mul", doubled, weight), doubled], ["z", "y"]), {}, weights)
    assert_runs(written(module, tmp_path, PORTABLE), module, {"x": np.float32([5, 6])})


def test_a_weight_that_cannot_be_read(tmp_path: Path) -> None:
    type = TensorType(DType.FLOAT32, (4, 4))
    missing = FileWeight(tmp_path / "gone", ((0, type.nbytes),), type, type)
    module = Module(CALLS.entry, CALLS.functions, {**CALLS.weights, "inner.weight": missing})
    with pytest.raises(WeightError, match="gone"):
        write_onnx(module, tmp_path / "graph.onnx")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any, **options: Any) -> Any:
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return original(name, *rest, **options)

    onnx_package.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(OnnxError, match=r"the package onnx cannot be imported .*; run `pip install onnx`"):
        write_onnx(CALLS, tmp_path / "graph.onnx")


@settings(max_examples=80)
@given(module=modules())
def test_random_modules(module: Module, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Odd names, nested calls, every element type, weights as outputs: whatever ONNX can name is written and valid."""
    names = [*(value.name for value in module.entry.inputs), *module.entry.output_names]
    assume(len(set(names)) == len(names))
    assume("" not in names)
    path = written(module, tmp_path_factory.mktemp("random"), PORTABLE)
    types = {node.outputs[0].type.dtype for graph in module.graphs() for node in graph.nodes}
    types |= {value.type.dtype for value in module.entry.inputs}
    if types <= {DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64, DType.BOOL}:
        found = run(path, module_inputs(module))
        for name, array in interpreter.run(module, module_inputs(module)).items():
            assert found[name].shape == array.shape
            assert found[name].dtype == array.dtype
