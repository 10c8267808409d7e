"""The rewriter: order, names and what becomes unused."""

from __future__ import annotations

import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

PAIR = TensorType(DType.FLOAT32, (2,))


def graph() -> Graph:
    """exp(abs(neg(x)))."""
    builder = GraphBuilder("main")
    value = builder.input("x", PAIR)
    for operator in ("neg", "abs", "exp"):
        value = builder.add(operator, value)
    return builder.build([value])


def test_replacements_follow_each_other() -> None:
    old = graph()
    rewriter = Rewriter(old)
    neg, abs_, exp = old.nodes
    rewriter.replace(exp.output, abs_.output)
    rewriter.replace(abs_.output, neg.output)
    new = rewriter.finish()
    assert new.nodes == (neg,)
    assert new.outputs == (neg.output,)
    assert new.output_names == old.output_names


def test_exchanged_nodes_take_the_place_and_untouched_nodes_are_kept() -> None:
    old = graph()
    rewriter = Rewriter(old)
    neg, abs_, exp = old.nodes
    middle = Value(rewriter.unique_name("abs"), PAIR)
    rewriter.exchange(abs_, [Node("relu", abs_.inputs, (middle,)), Node("square", (middle,), abs_.outputs)])
    new = rewriter.finish()
    verify(Module(new))
    assert [node.operator for node in new.nodes] == ["neg", "relu", "square", "exp"]
    assert middle.name == "abs_2"
    assert (new.nodes[0], new.nodes[3]) == (neg, exp)


def test_names_stay_unique() -> None:
    rewriter = Rewriter(graph())
    assert [rewriter.unique_name(wish) for wish in ("x", "x", "new", "new")] == ["x_2", "x_3", "new", "new_2"]


def test_value_of_another_type_is_refused() -> None:
    old = graph()
    with pytest.raises(GraphError, match=r"%exp: float32\[2\] cannot be replaced by %y: float32\[3\]"):
        Rewriter(old).replace(old.outputs[0], Value("y", TensorType(DType.FLOAT32, (3,))))
