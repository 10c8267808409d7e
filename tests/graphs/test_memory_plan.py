"""The memory plan: what lives together lies apart, and programs run inside the planned bytes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from graphs.passes.random_graphs import assert_same_bits, modules, random_inputs, run
from hypothesis import given, settings

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.interpreter import evaluate_node
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.memory_plan import ALIGNMENT, MemoryPlan, aligned, plan_memory
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight

EXAMPLES = settings(max_examples=150, deadline=None)
ROW = TensorType(DType.FLOAT32, (16,))  # 64 bytes, one unit of the plan


class Arena:
    """Runs a module with every planned value in its bytes, which are filled with garbage before."""

    def __init__(self, module: Module, plan: MemoryPlan) -> None:
        self._module = module
        self._plan = plan
        self._memory = np.full(plan.arena_bytes, 0xA5, np.uint8)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        entry = self._module.entry
        results = self._run(entry, [inputs[value.name] for value in entry.inputs], 0)
        return dict(zip(entry.output_names, results, strict=True))

    def _run(self, graph: Graph, arguments: Sequence[np.ndarray], base: int) -> list[np.ndarray]:
        plan = self._plan.graphs[graph.name]
        outside = dict(zip(graph.inputs, arguments, strict=True))

        def read(value: Value) -> np.ndarray:
            return self._place(value, base + plan.offsets[value]) if value in plan.offsets else outside[value]

        for node in graph.nodes:
            if node.operator == "weight":
                results: Sequence[np.ndarray] = (self._module.weights[str(node.attributes["name"])].read(),)
            elif node.operator == "call":
                function = self._module.functions[str(node.attributes["function"])]
                results = self._run(function, [read(value) for value in node.inputs], base + plan.own_bytes)
            else:
                # copies, since references may hand back what they read
                results = [np.array(array) for array in evaluate_node(node, [read(value) for value in node.inputs])]
            for value, array in zip(node.outputs, results, strict=True):
                if value in plan.offsets:
                    self._place(value, base + plan.offsets[value])[...] = array
                else:
                    outside[value] = array
        return [np.array(read(value)) for value in graph.outputs]

    def _place(self, value: Value, offset: int) -> np.ndarray:
        data = self._memory[offset : offset + value.type.nbytes]
        assert len(data) == value.type.nbytes
        return data.view(value.type.dtype.numpy).reshape(value.type.shape)


@EXAMPLES
@given(module=modules())
def test_program_runs_inside_the_planned_bytes(module: Module) -> None:
    inputs = random_inputs(module)
    assert_same_bits(Arena(module, plan_memory(module)).run(inputs), run(module, inputs))


@EXAMPLES
@given(module=modules())
def test_sizes_are_in_order(module: Module) -> None:
    plan = plan_memory(module)
    assert 0 <= plan.peak_bytes <= plan.arena_bytes <= plan.unshared_bytes
    for graph in plan.graphs.values():
        assert graph.peak_bytes <= graph.arena_bytes
        assert graph.own_bytes <= graph.unshared_bytes
        assert all(offset % ALIGNMENT == 0 for offset in graph.offsets.values())
    assert plan.notes() == {
        "unshared_bytes": plan.unshared_bytes,
        "peak_bytes": plan.peak_bytes,
        "arena_bytes": plan.arena_bytes,
    }


@EXAMPLES
@given(module=modules())
def test_values_that_live_at_one_time_do_not_overlap(module: Module) -> None:
    for plan in plan_memory(module).graphs.values():
        graph = plan.graph
        views = {n.output: n.inputs[0] for n in graph.nodes if n.operator in ("identity", "reshape")}
        needed: set[Value] = set()
        for node in reversed(graph.nodes):
            live = [value for value in {*needed, *node.inputs, *node.outputs} if value in plan.offsets]
            for a in live:
                for b in live:
                    begin, other = plan.offsets[a], plan.offsets[b]
                    apart = begin + a.type.nbytes <= other or other + b.type.nbytes <= begin
                    assert apart or root(a, views, plan.offsets.keys()) is root(b, views, plan.offsets.keys())
            needed = (needed - {*node.outputs}) | {*node.inputs}


def root(value: Value, views: Mapping[Value, Value], planned: Collection[Value]) -> Value:
    """The value whose bytes a chain of views names."""
    while value in views and views[value] in planned:
        value = views[value]
    return value


def chain(name: str, steps: int, callee: Graph | None = None) -> Graph:
    """steps times neg, each of one unit; a call in the middle."""
    builder = GraphBuilder(name)
    value = builder.input("x", ROW)
    for index in range(steps):
        if callee is not None and index == steps // 2:
            (value,) = builder.call(callee, value)
        value = builder.add("neg", value)
    return builder.build([value], ["y"])


def test_chain_needs_two_places_and_a_function_its_own_behind_them() -> None:
    inner = chain("inner", 6)
    outer = chain("outer", 5, inner)
    plan = plan_memory(Module(outer, {"inner": inner}))
    # five values of six are planned in `inner`; in `outer` four, and the call's; the last of each is the output
    assert [plan.graphs[name].unshared_bytes for name in ("inner", "outer")] == [5 * 64, 5 * 64]
    assert [plan.graphs[name].own_bytes for name in ("inner", "outer")] == [2 * 64, 2 * 64]
    assert (plan.unshared_bytes, plan.arena_bytes, plan.peak_bytes) == (10 * 64, 4 * 64, 4 * 64)
    assert [(graph, node.operator) for graph, node in plan.peak] == [("outer", "call"), ("inner", "neg")]


def test_function_is_planned_once_however_often_it_is_called() -> None:
    inner = chain("inner", 6)
    builder = GraphBuilder("main")
    value = builder.input("x", ROW)
    for _ in range(5):
        (value,) = builder.call(inner, value)
    plan = plan_memory(Module(builder.build([value]), {"inner": inner, "unused": chain("unused", 3)}))
    assert set(plan.graphs) == {"main", "inner"}
    assert plan.arena_bytes == (2 + 2) * 64


def test_small_value_takes_the_smallest_gap_that_fits() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", ROW)
    wide = [builder.add("broadcast_to", x, name=f"wide{rows}", shape=(rows, 16)) for rows in (4, 3, 2, 1)]
    sums = [builder.add("reduce_sum", value, axes=(0, 1), keepdims=False) for value in (wide[0], wide[2])]
    late = builder.add("neg", x, name="late")
    total = builder.add("concat", wide[1], wide[3], builder.add("reshape", late, shape=(1, 16)), axis=0)
    graph = builder.build([total, *sums], ["total", "first", "second"])
    offsets = {value.name: offset for value, offset in plan_memory(Module(graph)).graphs["main"].offsets.items()}
    # 4, 3, 2 and 1 units one above the other; %late comes when 4 and 2 units are free, and takes the smaller gap
    assert [offsets[f"wide{rows}"] for rows in (4, 3, 2, 1)] == [0, 4 * 64, 7 * 64, 9 * 64]
    assert offsets["late"] == offsets["reshape"] == 7 * 64


def test_inputs_outputs_weights_and_constants_are_not_planned() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", ROW)
    w = builder.weight("w", ROW)
    scaled = builder.add("mul", x, w)
    half = builder.constant(np.array(0.5, np.float32))
    result = builder.add("mul", scaled, half)
    graph = builder.build([result, builder.add("reshape", scaled, shape=(4, 4)), w, x], ["y", "view", "w", "x"])
    plan = plan_memory(Module(graph, {}, {"w": ArrayWeight(np.ones(16, np.float32))}))
    assert plan.graphs["main"].offsets == {scaled: 0}
    assert plan.arena_bytes == aligned(64)
    assert [node.output for _, node in plan.peak] == [scaled]


def test_program_without_values_of_its_own_needs_nothing() -> None:
    builder = GraphBuilder("main")
    plan = plan_memory(Module(builder.build([builder.input("x", ROW)])))
    assert plan.notes() == {"unshared_bytes": 0, "peak_bytes": 0, "arena_bytes": 0}
    assert plan.peak == ()
