"""Which passes made a node is in the file, MindSpore runs it all the same, and nothing else of the file changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs.mindir.operator_cases import OperatorCase, module_cases, operator_cases

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.mindir.custom import CustomKernel
from coopdraw.graphs.mindir.emission import PASSES
from coopdraw.graphs.mindir.reader import module_from_model, parse_model, read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.fusions.linear_combination import LinearCombinationFusion
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import DType, TensorType

PAIR = TensorType(DType.FLOAT32, (2,))
CHOSEN = ("split", "slice", "resize", "conv2d", "group_norm", "attention", "geglu", "softmax", "clamp", "constant")


def with_histories(module: Module) -> Module:
    """Every node came from a pass of its own and from one that all share."""

    def noted(graph: Graph) -> Graph:
        return graph.with_nodes(
            replace(node, passes=("fold-all", f"make-{index}")) for index, node in enumerate(graph.nodes)
        )

    functions = {name: noted(graph) for name, graph in module.functions.items()}
    return Module(noted(module.entry), functions, module.weights)


def run_in_mindspore(path: Path, feeds: list[np.ndarray]) -> list[np.ndarray]:
    import mindspore
    from mindspore import Tensor, nn

    mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
    results = nn.GraphCell(mindspore.load(str(path)))(*[Tensor(feed) for feed in feeds])
    return [result.asnumpy() for result in (results if isinstance(results, tuple) else (results,))]


def written(module: Module, folder: Path) -> Path:
    folder.mkdir()
    write_mindir(module, folder / "graph.mindir")
    return folder / "graph.mindir"


def check(module: Module, feeds: list[np.ndarray], folder: Path) -> None:
    """The same bits, text and data files with and without histories."""
    plain, noted = written(module, folder / "plain"), written(with_histories(module), folder / "noted")
    assert b"fold-all" not in plain.read_bytes()
    assert b"fold-all" in noted.read_bytes()
    assert format_module(read_mindir(noted)) == format_module(read_mindir(plain))
    for one, other in zip(run_in_mindspore(plain, feeds), run_in_mindspore(noted, feeds), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", list(module_cases()))
def test_mindspore_runs_modules_with_histories(name: str, tmp_path: Path) -> None:
    module, feeds = module_cases()[name]
    check(module, [feeds[value.name] for value in module.entry.inputs], tmp_path)


CASES = {case.operator: case for case in operator_cases() if case.operator in CHOSEN}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_mindspore_runs_operators_with_histories(case: OperatorCase, tmp_path: Path) -> None:
    feeds = case.feeds()
    module = case.module()
    check(module, [feeds[value.name] for value in module.entry.inputs], tmp_path)


def test_histories_come_back(tmp_path: Path) -> None:
    """Nodes of one and of several outputs, calls, constants; weights are no nodes in the file."""
    inner = GraphBuilder("inner")
    inner.passes = ("one",)
    inner_graph = inner.build([inner.add("neg", inner.input("x", PAIR))], ["y"])
    builder = GraphBuilder("main")
    x = builder.input("x", PAIR)
    builder.passes = ("call-it",)
    (called,) = builder.call(inner_graph, x)
    builder.passes = ("fold",)
    half = builder.constant(np.full(2, 0.5, np.float32))
    builder.passes = ("one", "two")
    first, second = builder.add_many("split", builder.add("mul", called, half), axis=0, sizes=(1, 1))
    builder.passes = ()
    module = Module(builder.build([builder.add("add", first, second)], ["z"]), {"inner": inner_graph})
    write_mindir(module, tmp_path / "graph.mindir")
    again = read_mindir(tmp_path / "graph.mindir")
    found = {node.operator: node.passes for node in again.entry.nodes}
    # The reader makes the reshape that every output of a file is.
    assert found == {
        "call": ("call-it",),
        "constant": ("fold",),
        "mul": ("one", "two"),
        "split": ("one", "two"),
        "add": (),
        "reshape": (),
    }
    assert [node.passes for node in again.functions["inner"].nodes] == [("one",), ()]


def combination() -> Module:
    """0.5 * x - 2 * y, written out and fused."""
    builder = GraphBuilder("main")
    x, y = (builder.input(name, PAIR) for name in "xy")
    half, two = (builder.constant(np.full((), number, np.float32)) for number in (0.5, -2.0))
    entry = builder.build([builder.add("add", builder.add("mul", x, half), builder.add("mul", y, two))], ["z"])
    module, _ = PassManager([LinearCombinationFusion()]).run(Module(entry))
    return module


def test_a_fused_node_that_is_taken_apart_hands_its_history_on(tmp_path: Path) -> None:
    write_mindir(combination(), tmp_path / "graph.mindir")
    nodes = [node for node in read_mindir(tmp_path / "graph.mindir").entry.nodes if node.operator != "reshape"]
    assert {node.operator for node in nodes} >= {"mul", "constant"}
    assert {node.passes for node in nodes} == {("linear-combination-fusion", "decomposition")}


def test_a_custom_node_has_its_history(tmp_path: Path) -> None:
    def kernel(node: Node) -> CustomKernel:
        return CustomKernel("kernels/sums.so", "sum", np.zeros(2))

    write_mindir(combination(), tmp_path / "graph.mindir", kernel)
    (node, _) = read_mindir(tmp_path / "graph.mindir").entry.nodes
    assert (node.operator, node.passes) == ("linear_combination", ("linear-combination-fusion",))


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    module, _ = module_cases()["calls"]
    one, other = (written(with_histories(module), tmp_path / name) for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_histories_survive_another_write(tmp_path: Path) -> None:
    """A file that was read gives, when written, a file that reads as it did."""
    module, _ = module_cases()["calls"]
    once = read_mindir(written(with_histories(module), tmp_path / "once"))
    twice = read_mindir(written(once, tmp_path / "twice"))
    for graph in once.graphs():
        again = next(other for other in twice.graphs() if other.name == graph.name)
        noted = [(node.operator, node.passes) for node in graph.nodes if node.passes]
        assert [(node.operator, node.passes) for node in again.nodes if node.passes] == noted


def second_note(node: Any) -> None:
    node.primal_attr.add().CopyFrom(node.primal_attr[0])


def note(text: bytes) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        node.primal_attr[0].s = text

    return change


@pytest.mark.parametrize(
    "change",
    [note(b""), note(b"one,"), note(b",one"), note(b"one\x1b[2J"), note(b"one\ntwo"), second_note],
    ids=["empty", "ends", "starts", "escape", "newline", "twice"],
)
def test_a_damaged_note_is_refused(change: Callable[[Any], None], tmp_path: Path) -> None:
    path = written(with_histories(module_cases()["calls"][0]), tmp_path / "noted")
    model = parse_model(path.read_bytes(), "graph.mindir")
    change(next(node for node in model.graph.node if node.primal_attr))
    with pytest.raises(MindirError, match=f"has a damaged note {PASSES}; export the file again") as error:
        module_from_model(model, path)
    assert str(error.value).isprintable()


def test_notes_of_others_are_left_alone(tmp_path: Path) -> None:
    path = written(with_histories(module_cases()["calls"][0]), tmp_path / "noted")
    model = parse_model(path.read_bytes(), "graph.mindir")
    for node in model.graph.node:
        for item in node.primal_attr:
            item.name = "forward_unique_id"
    assert all(not node.passes for node in module_from_model(model, path).entry.nodes)
