"""Histories of nodes: which passes made or changed them, on modules whose histories are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.passes.base import Pass, PassResult
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.passes.fusions.linear_combination import LinearCombinationFusion
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.passes.manager import FixedPoint, PassManager
from coopdraw.graphs.passes.pipelines import full_passes, pass_names
from coopdraw.graphs.passes.provenance import stamp
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.text import format_module, parse_module
from coopdraw.graphs.types import DType, TensorType

from .random_graphs import modules

PAIR = TensorType(DType.FLOAT32, (2,))


@dataclass(frozen=True)
class Exchange(Pass):
    """Puts `made` in the place of the only node with operator `operator`, as one chain: the last one has its output."""

    operator: str
    made: tuple[str, ...]
    label: str = "exchange"

    @property
    def name(self) -> str:  # type: ignore[override]  # several of these in one run have to have names of their own
        return self.label

    def run(self, module: Module) -> PassResult:
        graph = module.entry
        found = [node for node in graph.nodes if node.operator == self.operator]
        if not found:
            return PassResult(module, False)
        (old,) = found
        rewriter = Rewriter(graph)
        nodes: list[Node] = []
        value = old.inputs[0]
        for position, operator in enumerate(self.made):
            is_last = position == len(self.made) - 1
            output = old.output if is_last else Value(rewriter.unique_name(operator), PAIR)
            nodes.append(Node(operator, (value,), (output,)))
            value = output
        rewriter.exchange(old, nodes)
        return PassResult(module.with_graph(rewriter.finish()), True, 1)


def chain(*operators: str) -> Module:
    """The operators one after another."""
    builder = GraphBuilder("main")
    value = builder.input("x", PAIR)
    for operator in operators:
        value = builder.add(operator, value)
    return Module(builder.build([value], ["y"]))


def histories(module: Module) -> list[tuple[str, tuple[str, ...]]]:
    return [(node.operator, node.passes) for node in module.entry.nodes]


def test_only_what_a_pass_made_is_touched() -> None:
    module, _ = PassManager([Exchange("abs", ("relu", "square"))]).run(chain("neg", "abs", "exp"))
    # exp reads another node's value now, but it is the value that it read before.
    assert histories(module) == [("neg", ()), ("relu", ("exchange",)), ("square", ("exchange",)), ("exp", ())]


def test_other_operands_alone_do_not_count() -> None:
    module, records = PassManager([IdentityRemoval()]).run(chain("neg", "identity", "exp"))
    assert records[0].rewrites == 1
    assert histories(module) == [("neg", ()), ("exp", ())]


def test_a_node_inherits_what_made_its_output_before() -> None:
    steps = [
        Exchange("abs", ("relu", "square"), "one"),
        Exchange("square", ("sin",), "two"),
        Exchange("neg", ("cos",), "three"),
    ]
    module, _ = PassManager(steps).run(chain("neg", "abs", "exp"))
    assert histories(module) == [("cos", ("three",)), ("relu", ("one",)), ("sin", ("one", "two")), ("exp", ())]


def test_a_node_takes_over_the_history_of_the_nodes_that_went_into_it() -> None:
    module, _ = PassManager([Exchange("neg", ("relu",), "one"), Exchange("abs", ("sin",), "two")]).run(
        chain("neg", "abs", "exp")
    )
    graph = module.entry
    x, last = graph.inputs[0], graph.nodes[-1]
    fused = module.with_graph(graph.with_nodes([Node("gelu", (x,), last.outputs, {"approximate": "none"})]))
    assert histories(stamp("fuse", module, fused)) == [("gelu", ("one", "two", "fuse"))]


def test_a_node_that_stays_keeps_its_history_to_itself() -> None:
    """relu is read by the new node and still there, so it isn't part of it."""
    module, _ = PassManager([Exchange("neg", ("relu",), "one")]).run(chain("neg", "abs"))
    relu, last = module.entry.nodes
    changed = module.with_graph(module.entry.with_nodes([relu, Node("exp", relu.outputs, last.outputs)]))
    assert histories(stamp("two", module, changed)) == [("relu", ("one",)), ("exp", ("two",))]


def test_a_name_is_there_once_and_where_it_was_first() -> None:
    steps = FixedPoint((Exchange("neg", ("abs",), "one"), Exchange("abs", ("sin",), "two"), Exchange("sin", ("neg",))))
    module = chain("neg")
    for step in (*steps.passes, *steps.passes):
        module, _ = PassManager([step]).run(module)
    assert histories(module) == [("neg", ("one", "two", "exchange"))]


def constant_module(attributes: dict[str, Attribute], history: tuple[str, ...] = ()) -> tuple[Module, Value]:
    value = Value("c", PAIR)
    node = Node("constant", (), (value,), attributes, "block", history)
    return Module(Graph("main", (), (node,), (value,), ("y",))), value


@pytest.mark.parametrize(
    ("array", "touched"),
    [
        (np.array([1.0, 0.0], np.float32), False),
        (np.array([1.0, -0.0], np.float32), True),
        (np.array([1.0, 2.0], np.float32), True),
    ],
    ids=["equal copy", "other sign of zero", "other value"],
)
def test_attributes_are_compared_bit_by_bit(array: np.ndarray, touched: bool) -> None:
    module, value = constant_module({"value": np.array([1.0, 0.0], np.float32)}, ("old",))
    node = Node("constant", (), (value,), {"value": array}, "block")
    after = stamp("new", module, module.with_graph(module.entry.with_nodes([node])))
    assert after.entry.nodes[0].passes == (("old", "new") if touched else ("old",))


def test_a_pass_that_finds_nothing_leaves_the_module_itself() -> None:
    module = chain("neg")
    result, _ = PassManager([Exchange("abs", ("sin",))]).run(module)
    assert result is module
    assert stamp("any", module, module) is module


def test_other_functions_stay_the_same_objects() -> None:
    inner = chain("neg").entry
    function = replace(inner, name="inner")
    builder = GraphBuilder("main")
    (value,) = builder.call(function, builder.input("x", PAIR))
    module = Module(builder.build([builder.add("abs", value)], ["y"]), {"inner": function})
    result, _ = PassManager([Exchange("abs", ("sin",))]).run(module)
    assert result.functions["inner"] is function
    assert [node.passes for node in result.entry.nodes] == [(), ("exchange",)]


def combination() -> Module:
    """0.5 * x - 2 * y, written out."""
    builder = GraphBuilder("main")
    x, y = (builder.input(name, PAIR) for name in "xy")
    half, two = (builder.constant(np.full((), number, np.float32)) for number in (0.5, -2.0))
    return Module(builder.build([builder.add("add", builder.add("mul", x, half), builder.add("mul", y, two))], ["z"]))


def test_fused_and_taken_apart_again() -> None:
    module, _ = PassManager([LinearCombinationFusion()]).run(combination())
    assert histories(module) == [("linear_combination", ("linear-combination-fusion",))]
    module, _ = PassManager([Decomposition()]).run(module)
    # All that stands for the fused node came from what it came from.
    assert {passes for _, passes in histories(module)} == {("linear-combination-fusion", "decomposition")}
    assert len(module.entry.nodes) > 1


def test_folded_constants_say_so() -> None:
    builder = GraphBuilder("main")
    one = builder.constant(np.ones(2, np.float32))
    module = Module(builder.build([builder.add("mul", builder.input("x", PAIR), builder.add("neg", one))], ["y"]))
    folded, _ = PassManager([ConstantFolding()]).run(module)
    assert histories(folded) == [("constant", ("constant-folding",)), ("mul", ())]


def test_replace_keeps_the_history_and_the_text_form_has_none() -> None:
    module, _ = PassManager([Exchange("abs", ("sin",))]).run(chain("neg", "abs"))
    node = module.entry.nodes[1]
    assert replace(node, inputs=module.entry.inputs).passes == ("exchange",)
    plain = module.with_graph(module.entry.with_nodes(replace(node, passes=()) for node in module.entry.nodes))
    assert format_module(module) == format_module(plain)
    assert all(node.passes == () for node in parse_module(format_module(module)).entry.nodes)


def without_histories(stages: Callable[[], tuple[object, ...]], module: Module) -> Module:
    """The stages run by hand, without the manager."""
    for stage in stages():
        steps = stage.passes if isinstance(stage, FixedPoint) else (stage,)
        while True:
            before = module
            for step in steps:
                assert isinstance(step, Pass)
                module = step.run(module).module
            if not isinstance(stage, FixedPoint) or module is before:
                break
    return module


@settings(max_examples=40)
@given(module=modules())
def test_histories_change_nothing_else(module: Module) -> None:
    stamped, records = PassManager(full_passes()).run(module)
    assert format_module(stamped) == format_module(without_histories(full_passes, module))
    busy = {record.name for record in records if record.rewrites}
    assert busy <= set(pass_names())
    for graph in stamped.graphs():
        for node in graph.nodes:
            assert set(node.passes) <= busy
            assert len(set(node.passes)) == len(node.passes)
