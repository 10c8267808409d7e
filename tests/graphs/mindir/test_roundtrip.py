"""Every operator: written as MindIR, read again and run by MindSpore itself, all three give the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs.mindir.operator_cases import OperatorCase, module_cases, normal, operator_cases

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import parse_model, read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.ops import operator_names
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

# float32 kernels that sum in another order: a few units in the last place of values around 1.
RELATIVE, ABSOLUTE = 2e-5, 2e-5
CASES = operator_cases()


def run_in_mindspore(path: Path, module: Module, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    import mindspore
    from mindspore import Tensor, nn

    mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
    cell = nn.GraphCell(mindspore.load(str(path)))
    results = cell(*[Tensor(feeds[value.name]) for value in module.entry.inputs])
    return [result.asnumpy() for result in (results if isinstance(results, tuple) else (results,))]


def check(module: Module, feeds: dict[str, np.ndarray], folder: Path) -> None:
    verify(module)
    expected = list(interpreter.run(module, feeds).values())
    path = folder / "graph.mindir"
    write_mindir(module, path)
    again = read_mindir(path)
    verify(again)
    assert [value.type for value in again.entry.inputs] == [value.type for value in module.entry.inputs]
    assert again.entry.output_names == module.entry.output_names
    reread = list(interpreter.run(again, feeds).values())
    executed = run_in_mindspore(path, module, feeds)
    for want, read, ran in zip(expected, reread, executed, strict=True):
        np.testing.assert_allclose(read, want, rtol=RELATIVE, atol=ABSOLUTE)
        np.testing.assert_allclose(ran, want, rtol=RELATIVE, atol=ABSOLUTE)
        assert ran.dtype == want.dtype


def test_every_operator_has_a_case() -> None:
    assert {case.operator for case in CASES} | {"call", "weight"} == set(operator_names())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_operator(case: OperatorCase, tmp_path: Path) -> None:
    check(case.module(), case.feeds(), tmp_path)


@pytest.mark.parametrize("name", list(module_cases()))
def test_module(name: str, tmp_path: Path) -> None:
    module, feeds = module_cases()[name]
    check(module, feeds, tmp_path)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    module, _ = module_cases()["calls"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_mindir(module, tmp_path / name / "graph.mindir")
    for file in ("graph.mindir", "graph_variables/data_0"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_names_of_nodes_and_primitives_never_clash(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    value = builder.input("x", TensorType(DType.FLOAT32, (1, 4, 4, 4)))
    kernel = builder.constant(normal(4, 4, 1, 1))
    for padding in range(12):  # each padding is a primitive of its own
        padded = builder.add("conv2d", value, kernel, stride=(1, 1), padding=(padding,) * 4, dilation=(1, 1), groups=1)
        begin, end = (0, 0, padding, padding), (1, 4, padding + 4, padding + 4)
        value = builder.add("slice", padded, begin=begin, end=end, stride=(1, 1, 1, 1))
    check(Module(builder.build([value], ["y"])), {"x": normal(1, 4, 4, 4)}, tmp_path)
    model = parse_model((tmp_path / "graph.mindir").read_bytes(), "graph.mindir")
    names = [node.output[0] for node in model.graph.node] + [primitive.name for primitive in model.primitives]
    assert len(names) == len(set(names))


def test_a_reread_module_writes_a_graph_that_reads_the_same(tmp_path: Path) -> None:
    from coopdraw.graphs.text import format_module

    module, _ = module_cases()["calls"]
    write_mindir(module, tmp_path / "a.mindir")
    once = read_mindir(tmp_path / "a.mindir")
    write_mindir(once, tmp_path / "b.mindir")
    twice = read_mindir(tmp_path / "b.mindir")
    assert len(once.entry.nodes) <= len(twice.entry.nodes)
    assert set(once.functions) == set(twice.functions)
    assert format_module(once).count("call") == format_module(twice).count("call")
