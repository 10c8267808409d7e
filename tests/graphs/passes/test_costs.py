"""Costs: a function's FLOPs and bytes moved count as often as it runs, its nodes and constants once."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.costs import Cost, Work, callers_first, measure, runs_of_graphs, savings, work_of_graphs
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
    # additions of 10 elements: 1 in main, 2 in outer, 6 in inner, none in what isn't called; each moves 3 x 40 bytes
    nodes = 4 + 5 + 2 + 3
    assert measure(module) == Cost(nodes, flops=90, bytes_moved=9 * 120, constant_bytes=160, weight_bytes=10)
    order = [graph.name for graph in callers_first(module)]
    assert order.index("main") < order.index("outer") < order.index("a_inner")
    assert order.index("uncalled") < order.index("a_inner")


def test_savings_name_what_changed() -> None:
    inner = caller("inner", None, 0)
    functions = {"inner": inner}
    twice, once = Module(caller("main", inner, 2), functions), Module(caller("main", inner, 1), functions)
    assert savings(twice, once) == {"nodes_removed": 1, "flops_saved": 10, "bytes_saved": 120}
    assert savings(once, twice) == {"nodes_removed": -1, "flops_saved": -10, "bytes_saved": -120}
    assert savings(once, Module(once.entry, once.functions)) == {}


def test_work_of_a_graph_has_that_of_its_calls() -> None:
    inner = caller("inner", None, 0)
    outer = caller("outer", inner, 3)
    module = Module(caller("main", outer, 2), {"inner": inner, "outer": outer})
    assert runs_of_graphs(module) == {"main": 1, "outer": 2, "inner": 6}
    # one addition of 10 elements each, which moves 3 x 40 bytes
    assert work_of_graphs(module) == {"inner": Work(10, 120), "outer": Work(40, 480), "main": Work(90, 1080)}
