"""Costs: a function's FLOPs count as often as it runs, its nodes and bytes once."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.costs import Cost, callers_first, measure
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight

TYPE = TensorType(DType.FLOAT32, (10,))


def caller(name: str, function: Graph | None, times: int) -> Graph:
    """Adds a constant of 10 elements, then calls a function some times."""
    builder = GraphBuilder(name)
    value = builder.add("add", builder.input("x", TYPE), builder.constant(np.ones(10, np.float32)))
    for _ in range(times if function else 0):
        assert function is not None
        (value,) = builder.call(function, value)
    return builder.build([value], ["y"])


def test_calls_multiply() -> None:
    inner = caller("a_inner", None, 0)
    outer = caller("outer", inner, 3)
    uncalled = caller("uncalled", inner, 1)
    functions = {graph.name: graph for graph in (inner, outer, uncalled)}
    module = Module(caller("main", outer, 2), functions, {"w": ArrayWeight(np.ones(5, np.float16))})
    # additions of 10 elements: 1 in main, 2 in outer, 6 in inner, none in what isn't called
    assert measure(module) == Cost(nodes=4 + 5 + 2 + 3, flops=90, constant_bytes=160, weight_bytes=10)
    order = [graph.name for graph in callers_first(module)]
    assert order.index("main") < order.index("outer") < order.index("a_inner")
    assert order.index("uncalled") < order.index("a_inner")
