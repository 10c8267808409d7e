"""The order of nodes after a rewrite that moved some."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.passes.topological_order import in_topological_order
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

from .random_graphs import modules

TYPE = TensorType(DType.FLOAT32, (2,))


@given(module=modules(), data=st.data())
def test_any_order_becomes_a_valid_one(module: Module, data: st.DataObject) -> None:
    nodes = data.draw(st.permutations(module.entry.nodes))
    ordered = in_topological_order(module.entry.with_nodes(nodes))
    assert sorted(map(id, ordered.nodes)) == sorted(map(id, nodes))
    verify(module.with_graph(ordered))


@given(module=modules())
def test_a_valid_order_stays(module: Module) -> None:
    assert in_topological_order(module.entry).nodes == module.entry.nodes


def chain() -> Graph:
    builder = GraphBuilder("main")
    x = builder.input("x", TYPE)
    first = builder.add("neg", x, name="first")
    second = builder.add("neg", x, name="second")
    third = builder.add("add", second, first, name="third")
    return builder.build([builder.add("neg", third, name="fourth")])


def test_only_what_is_needed_earlier_moves_up() -> None:
    graph = chain()
    first, second, third, fourth = graph.nodes
    ordered = in_topological_order(graph.with_nodes([first, fourth, second, third]))
    assert ordered.nodes == (first, second, third, fourth)
    unneeded = in_topological_order(graph.with_nodes([second, first, third, fourth]))
    assert unneeded.nodes == (second, first, third, fourth)


def test_a_long_chain_needs_no_recursion() -> None:
    builder = GraphBuilder("main")
    value = builder.input("x", TYPE)
    for _ in range(5000):
        value = builder.add("neg", value)
    graph = builder.build([value])
    assert in_topological_order(graph.with_nodes(reversed(graph.nodes))).nodes == graph.nodes


def test_a_circle_is_an_error() -> None:
    graph = chain()
    first, second, third, fourth = graph.nodes
    circle: Node = replace(first, inputs=fourth.outputs)
    with pytest.raises(PassError, match=r"graph main: %\w+ \(\w+, no Cell\) needs its own result"):
        in_topological_order(graph.with_nodes([circle, second, third, fourth]))
