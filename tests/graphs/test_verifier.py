"""Every rule of the verifier has a module that breaks it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from graphs.strategies import modules
from hypothesis import given

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

FLOAT = TensorType(DType.FLOAT32, (2, 3))


def function(name: str, *calls: str) -> Graph:
    """Takes and returns a FLOAT, after calling the named functions on it one after the other."""
    builder = GraphBuilder(name)
    x = builder.input("x", FLOAT)
    for called in calls:
        node = Node("call", (x,), (Value(builder.unique_name("y"), FLOAT),), {"function": called})
        builder._nodes.append(node)
        x = node.output
    return builder.build([x])


def valid_module() -> Module:
    """entry(x, w) = split(double(x + w)) with an unused weight."""
    double = GraphBuilder("double")
    y = double.input("y", FLOAT)
    inner = double.build([double.add("add", y, y, name="twice")])
    entry = GraphBuilder("main")
    x, weight = entry.input("x", FLOAT), entry.weight("w", FLOAT)
    entry.source = "blocks.0"
    total = entry.add("add", x, weight, name="total")
    (called,) = entry.call(inner, total)
    parts = entry.add_many("split", called, names=["a", "b"], axis=1, sizes=(1, 2))
    weights = {"w": ArrayWeight(np.ones((2, 3), np.float32)), "unused": ArrayWeight(np.ones(1, np.int8))}
    return Module(entry.build(parts), {"double": inner}, weights)


def with_node(where: str, **changes: Any) -> Module:
    """The valid module with one field of the entry's node of that operator exchanged."""
    module = valid_module()
    nodes = [replace(node, **changes) if node.operator == where else node for node in module.entry.nodes]
    return module.with_graph(module.entry.with_nodes(nodes))


def refuses(module: Module, *parts: str) -> None:
    with pytest.raises(GraphError) as caught:
        verify(module)
    for part in parts:
        assert part in str(caught.value)


@given(modules())
def test_accepts_valid_modules(module: Module) -> None:
    verify(module)


def test_accepts_an_unused_weight_and_function() -> None:
    module = valid_module()
    verify(replace(module, functions={**module.functions, "unused": function("unused")}))


def test_value_names_are_unique() -> None:
    total = Value("x", FLOAT)
    refuses(with_node("add", outputs=(total,)), "graph main, %x (add, Cell blocks.0)", "another value is named %x")


def test_input_names_are_unique() -> None:
    x, other = Value("x", FLOAT), Value("x", FLOAT)
    refuses(Module(Graph("main", (x, other), (), (x,), ("x",))), "graph main, input %x", "rename one")


def test_values_are_defined_before_their_use() -> None:
    module = valid_module()
    moved = module.entry.with_nodes(module.entry.nodes[::-1])
    refuses(module.with_graph(moved), "graph main, %a (split, Cell blocks.0): %twice isn't defined before it")


def test_values_belong_to_the_same_graph() -> None:
    foreign = valid_module().entry.inputs[0]
    refuses(with_node("add", inputs=(foreign, foreign)), "%x isn't defined before it; define it earlier in this graph")


def test_a_value_is_produced_once() -> None:
    module = valid_module()
    refuses(module.with_graph(module.entry.with_nodes([*module.entry.nodes, module.entry.nodes[1]])), "defined twice")


def test_an_input_is_not_produced() -> None:
    x = Value("x", FLOAT)
    refuses(Module(Graph("main", (x,), (Node("neg", (x,), (x,)),), (x,), ("x",))), "value %x is defined twice")


def test_operators_are_in_the_table() -> None:
    refuses(with_node("add", operator="conv3d"), "%total (conv3d, Cell blocks.0)", "the operator table has no conv3d")


def test_operands_fit() -> None:
    module = valid_module()
    add = replace(module.entry.nodes[1], inputs=module.entry.inputs)
    nodes = [module.entry.nodes[0], add, *module.entry.nodes[2:]]
    refuses(module.with_graph(module.entry.with_nodes(nodes)), "%total (add, Cell blocks.0): add takes 2 inputs")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"axis": 1}, "split has attributes ['axis'], but must have ['axis', 'sizes']"),
        ({"axis": 1, "sizes": (1, 1)}, "must add up to extent 3"),
        ({"axis": 1, "sizes": [1, 2]}, "attribute sizes is [1, 2], which is not tuple"),
        ({"axis": 1, "sizes": (1, 2), "keepdims": True}, "split has attributes"),
    ],
)
def test_attributes_are_valid(attributes: dict[str, object], message: str) -> None:
    refuses(with_node("split", attributes=attributes), "graph main, %a (split, Cell blocks.0): ", message)


def test_declared_types_are_the_inferred_ones() -> None:
    wrong = Value("total", TensorType(DType.FLOAT16, (2, 3)))
    refuses(with_node("add", outputs=(wrong,)), "%total is declared float16[2, 3], but is float32[2, 3]", "fix")


def test_a_node_has_all_its_outputs() -> None:
    only = Value("a", TensorType(DType.FLOAT32, (2, 1)))
    refuses(with_node("split", outputs=(only,)), "it has 1 outputs, but must have 2")


def test_weights_exist() -> None:
    refuses(with_node("weight", attributes={"name": "v"}), "%w (weight, no Cell)", "the module has no weight v; add it")


def test_weights_have_their_declared_type() -> None:
    module = valid_module()
    double = ArrayWeight(np.ones((2, 3), np.float64))
    refuses(replace(module, weights={"w": double}), "%w is declared float32[2, 3], but is float64[2, 3]")


def test_weight_nodes_have_no_inputs() -> None:
    refuses(with_node("weight", inputs=valid_module().entry.inputs), "isn't defined before it")
    module = valid_module()
    weight = replace(module.entry.nodes[0], inputs=module.entry.inputs)
    nodes = [weight, *module.entry.nodes[1:]]
    refuses(module.with_graph(module.entry.with_nodes(nodes)), "a weight node takes no inputs")


@pytest.mark.parametrize("attributes", [{}, {"name": 3}, {"name": "w", "type": "float32"}, {"function": "w"}])
def test_weight_and_call_have_one_string(attributes: dict[str, object]) -> None:
    refuses(with_node("weight", attributes=attributes), "must be a string named name")
    if attributes != {"function": "w"}:
        refuses(with_node("call", attributes=attributes), "must be a string named function")


def test_called_functions_exist() -> None:
    refuses(with_node("call", attributes={"function": "triple"}), "%twice (call", "the module has no function triple")


def test_calls_have_the_right_number_of_inputs() -> None:
    refuses(with_node("call", inputs=()), "function double takes 1 inputs, but gets 0")


def test_calls_have_inputs_of_the_right_type() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT16, (2, 3)))
    call = Node("call", (x,), (Value("y", FLOAT),), {"function": "f"})
    entry = Graph("main", (x,), (call,), call.outputs, ("y",))
    refuses(Module(entry, {"f": function("f")}), "input x of function f is float32[2, 3], but %x is float16[2, 3]")


def test_call_results_have_the_types_of_the_function() -> None:
    wrong = Value("twice", TensorType(DType.FLOAT32, (3, 2)))
    refuses(with_node("call", outputs=(wrong,)), "%twice is declared float32[3, 2], but is float32[2, 3]")


def test_functions_do_not_recurse() -> None:
    refuses(Module(function("main"), {"f": function("f", "f")}), "in a circle: f -> f; remove")
    circle = {"f": function("f", "g"), "g": function("g", "h"), "h": function("h", "f")}
    refuses(Module(function("main"), circle), "functions call each other in a circle: ", "f -> g", "remove one")


def test_many_paths_to_a_function_are_fine() -> None:
    """30 functions that each call the next one twice: 2^30 paths."""
    names = [f"f{index}" for index in range(30)]
    functions = {name: function(name, *[below] * 2) for name, below in pairwise(names)}
    verify(Module(function("main", "f0"), {**functions, names[-1]: function(names[-1])}))


def test_function_keys_are_the_graph_names() -> None:
    refuses(Module(function("main"), {"g": function("f")}), "lists graph f as function g")


def test_entry_and_functions_have_different_names() -> None:
    refuses(Module(function("f"), {"f": function("f")}), "entry and a function are both named f")


@pytest.mark.parametrize(
    ("names", "message"),
    [(("a",), "2 outputs, but 1 output names"), (("a", "a"), "['a', 'a'], but they must be unique")],
)
def test_output_names(names: tuple[str, ...], message: str) -> None:
    module = valid_module()
    refuses(module.with_graph(replace(module.entry, output_names=names)), "graph main has", message)


def test_outputs_are_defined() -> None:
    module = valid_module()
    foreign = Value("a", FLOAT)
    entry = replace(module.entry, outputs=(foreign, foreign))
    refuses(module.with_graph(entry), "graph main returns %a, which it doesn't define")


def test_a_graph_returns_something() -> None:
    refuses(Module(Graph("main", (), (), (), ())), "graph main has no outputs; return at least one value")


@pytest.mark.parametrize("shape", [(0,), (-1, 2), (2.0,), [2, 3]])
def test_shapes_are_static(shape: tuple[int, ...]) -> None:
    x = Value("x", TensorType(DType.FLOAT32, shape))
    refuses(Module(Graph("main", (x,), (), (x,), ("x",))), "graph main, input %x: %x: shape", "isn't static")


def test_element_types_are_known() -> None:
    x = Value("x", TensorType("float32", (2,)))  # type: ignore[arg-type]  # what the rule is about
    refuses(Module(Graph("main", (x,), (), (x,), ("x",))), "element type 'float32' isn't a DType")


def test_weight_types_are_static() -> None:
    refuses(Module(function("main"), {}, {"w": ArrayWeight(np.ones((0, 2), np.float32))}), "weight w: shape (0, 2)")
