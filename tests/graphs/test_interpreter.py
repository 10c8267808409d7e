"""The interpreter: results, what it checks, what it frees and when it reads weights."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from graphs.strategies import module_inputs, modules
from hypothesis import given

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError, WeightError
from coopdraw.graphs.interpreter import evaluate_node, run
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, Weight

FLOAT = TensorType(DType.FLOAT32, (2, 3))
X = np.arange(6, dtype=np.float32).reshape(2, 3)


class CountedWeight(Weight):
    """Counts its reads and may give another type than it declares."""

    def __init__(self, array: np.ndarray, type: TensorType) -> None:
        self.array, self.type, self.reads = array, type, 0

    def read(self) -> np.ndarray:
        self.reads += 1
        return self.array


def affine(weight: Weight) -> Module:
    """entry(x) = {result: 2 * (x + w), halves: ...}, doubled by a function."""
    double = GraphBuilder("double")
    y = double.input("y", FLOAT)
    function = double.build([double.add("add", y, y)], ["twice"])
    entry = GraphBuilder("main")
    x, w = entry.input("x", FLOAT), entry.weight("w", FLOAT)
    (called,) = entry.call(function, entry.add("add", x, w, name="total"))
    parts = entry.add_many("split", called, names=["left", "right"], axis=1, sizes=(1, 2))
    return Module(entry.build([called, *parts], ["result", "left", "right"]), {"double": function}, {"w": weight})


def test_runs_calls_weights_and_several_outputs() -> None:
    outputs = run(affine(ArrayWeight(X)), {"x": X})
    assert list(outputs) == ["result", "left", "right"]
    np.testing.assert_array_equal(outputs["result"], 4 * X)
    np.testing.assert_array_equal(outputs["right"], 4 * X[:, 1:])


def test_runs_one_function() -> None:
    np.testing.assert_array_equal(run(affine(ArrayWeight(X)), {"y": X}, function="double")["twice"], 2 * X)
    with pytest.raises(GraphError, match="no function triple; use one of its functions: double"):
        run(affine(ArrayWeight(X)), {"y": X}, function="triple")


@given(modules())
def test_outputs_have_the_declared_types(module: Module) -> None:
    outputs = run(module, module_inputs(module))
    declared = dict(zip(module.entry.output_names, (value.type for value in module.entry.outputs), strict=True))
    assert {name: TensorType.of(array) for name, array in outputs.items()} == declared


def test_returns_inputs_and_weights() -> None:
    builder = GraphBuilder("main")
    x, w = builder.input("x", FLOAT), builder.weight("w", FLOAT)
    outputs = run(Module(builder.build([x, w, x], ["a", "b", "c"]), {}, {"w": ArrayWeight(X)}), {"x": X + 1})
    np.testing.assert_array_equal(outputs["a"], X + 1)
    np.testing.assert_array_equal(outputs["b"], X)
    np.testing.assert_array_equal(outputs["c"], X + 1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"inputs \['x'\] are missing and \[\] are unknown"),
        ({"x": X, "y": X}, r"inputs \[\] are missing and \['y'\] are unknown"),
        ({"x": X.astype(np.float64)}, r"input x must be float32\[2, 3\], but is float64\[2, 3\]"),
        ({"x": X.T}, r"input x must be float32\[2, 3\], but is float32\[3, 2\]"),
        ({"x": X.astype(complex)}, "element type complex128 is not supported"),
    ],
)
def test_checks_inputs(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        run(affine(ArrayWeight(X)), inputs)


def test_values_are_dropped_after_their_last_use() -> None:
    """x -> a -> b -> c: when c is there, a is gone."""
    builder = GraphBuilder("main")
    value = builder.input("x", FLOAT)
    for name in ("a", "b", "c"):
        value = builder.add("exp", value, name=name)
    builder.add("neg", value, name="unused")
    alive: dict[str, weakref.ref[np.ndarray]] = {}
    seen: dict[str, list[str]] = {}

    def observer(graph: Graph, node: Node, outputs: Sequence[np.ndarray]) -> None:
        alive[node.output.name] = weakref.ref(outputs[0])
        seen[node.output.name] = [name for name, reference in alive.items() if reference() is not None]

    run(Module(builder.build([value])), {"x": X}, observer=observer)
    assert seen == {"a": ["a"], "b": ["a", "b"], "c": ["b", "c"], "unused": ["c", "unused"]}


def test_observer_sees_every_node_but_weights() -> None:
    seen: list[tuple[str, str]] = []
    run(
        affine(ArrayWeight(X)),
        {"x": X},
        observer=lambda graph, node, outputs: seen.append((graph.name, node.operator)),
    )
    assert seen == [("main", "add"), ("double", "add"), ("main", "call"), ("main", "split")]


def test_weights_are_read_only_when_used() -> None:
    used, unused = CountedWeight(X, FLOAT), CountedWeight(X, FLOAT)
    module = affine(used)
    entry = module.entry.with_nodes([Node("weight", (), (Value("v", FLOAT),), {"name": "unused"}), *module.entry.nodes])
    run(Module(entry, module.functions, {"w": used, "unused": unused}), {"x": X})
    assert (used.reads, unused.reads) == (1, 0)


def test_a_weight_must_be_what_it_declares() -> None:
    with pytest.raises(WeightError, match=r"weight w is declared float32\[2, 3\], but was read as float16\[2, 3\]"):
        run(affine(CountedWeight(X.astype(np.float16), FLOAT)), {"x": X})


def test_evaluate_node() -> None:
    a, b = Value("a", FLOAT), Value("b", FLOAT)
    (result,) = evaluate_node(Node("neg", (a,), (b,)), [X])
    np.testing.assert_array_equal(result, -X)


def test_evaluate_node_names_the_node() -> None:
    x, indices = Value("x", FLOAT), Value("i", TensorType(DType.INT64, (1,)))
    node = Node("gather", (x, indices), (Value("y", TensorType(DType.FLOAT32, (1, 3))),), {"axis": 0}, "embedding")
    with pytest.raises(GraphError, match=r"%y \(gather, Cell embedding\): indices run from 2 to 2"):
        evaluate_node(node, [X, np.array([2])])
    wrong = Node("neg", (x,), (Value("y", TensorType(DType.FLOAT16, (2, 3))),))
    with pytest.raises(GraphError, match=r"%y \(neg, no Cell\): declared float16\[2, 3\], but evaluated to float32"):
        evaluate_node(wrong, [X])
    with pytest.raises(GraphError, match="only the module knows its value"):
        evaluate_node(Node("weight", (), (x,), {"name": "w"}), [])
