"""Views made on top of views: the same elements, and one node where there were several."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.passes.fusions.views import ViewMaker, swap_permutation
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

SHAPES = [(2, 3, 4), (6, 4), (2, 12), (24,), (2, 3, 2, 2), (1, 2, 3, 4), (4, 6), (2, 3, 4, 1)]
STEPS = st.sampled_from(["reshape", "transpose", "swap"])


class Views:
    """x, views of it that are in a graph, and a maker for more; the last node of the graph is where they go."""

    def __init__(self) -> None:
        builder = GraphBuilder("main")
        x = builder.input("x", TensorType(DType.FLOAT32, (2, 3, 4)))
        merged = builder.add("reshape", x, name="merged", shape=(6, 4))
        turned = builder.add("transpose", merged, name="turned", permutation=(1, 0))
        self.graph: Graph = builder.build([builder.add("neg", turned), turned], ["y", "z"])
        self.values = {value.name: value for value in self.graph.values}
        self.rewriter = Rewriter(self.graph)
        self.maker = NodeMaker(self.rewriter, "block")
        self.views = ViewMaker(self.maker, self.graph)

    def finish(self, result: Value) -> Graph:
        """The graph that returns `result`, reshaped, in place of y."""
        self.maker.exchange(self.graph.nodes[-1], [self.views.reshape(result, (4, 6))])
        return self.rewriter.finish()


def test_a_view_that_is_there_is_taken() -> None:
    made = Views()
    x, merged, turned = (made.values[name] for name in ("x", "merged", "turned"))
    assert made.views.reshape(x, (2, 3, 4)) is x
    assert made.views.reshape(merged, (2, 3, 4)) is x
    assert made.views.transpose(turned, (1, 0)) is merged
    assert made.views.transpose(x, (0, 1, 2)) is x
    assert made.views.swap(turned) is merged


def test_a_new_view_is_one_node() -> None:
    made = Views()
    merged = made.values["merged"]
    flat = made.views.reshape(made.views.reshape(merged, (24,)), (2, 12))
    assert [node.inputs[0].name for node in made.finish(flat).nodes if node.operator == "reshape"] == ["x", "x"]


def test_swap_goes_below_a_reshape_of_leading_axes() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 3, 4, 5)))
    turned = builder.add("transpose", x, permutation=(0, 2, 3, 1))
    merged = builder.add("reshape", turned, shape=(8, 5, 3))
    last = builder.add("exp", builder.add("reshape", merged, shape=(8, 3, 5)))
    graph = builder.build([last])
    rewriter = Rewriter(graph)
    maker = NodeMaker(rewriter, "")
    maker.exchange(graph.nodes[-1], [ViewMaker(maker, graph).swap(merged)])
    (transpose, reshape) = rewriter.finish().nodes
    assert (transpose.inputs, transpose.attributes["permutation"]) == ((x,), (0, 2, 1, 3))
    assert reshape.attributes["shape"] == (8, 3, 5)


def test_swap_permutation() -> None:
    assert [swap_permutation(rank) for rank in (2, 3, 4)] == [(1, 0), (0, 2, 1), (0, 1, 3, 2)]


@settings(deadline=None, max_examples=200)
@given(start=st.sampled_from(["x", "merged", "turned"]), steps=st.lists(STEPS, max_size=6), data=st.data())
def test_views_of_views_are_those_of_numpy(start: str, steps: list[str], data: st.DataObject) -> None:
    made, x = Views(), np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    value, array = made.values[start], {"x": x, "merged": x.reshape(6, 4), "turned": x.reshape(6, 4).T}[start]
    for step in steps:
        rank = array.ndim
        if step == "reshape":
            shape = data.draw(st.sampled_from(SHAPES))
            value, array = made.views.reshape(value, shape), array.reshape(shape)
        elif step == "transpose":
            permutation = tuple(data.draw(st.permutations(range(rank))))
            value, array = made.views.transpose(value, permutation), array.transpose(permutation)
        elif rank > 1:
            value, array = made.views.swap(value), np.swapaxes(array, -1, -2)
        assert value.type.shape == array.shape
        assert math.prod(value.type.shape) == 24
    module = Module(made.finish(value))
    verify(module)
    np.testing.assert_array_equal(run(module, {"x": x})["y"], array.reshape(4, 6))
