"""Rebuilds a graph in which some nodes compute in half precision and the others in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.ops import infer
from coopdraw.graphs.passes.constants import constant_node
from coopdraw.graphs.passes.float32_islands import is_source, touches_float32
from coopdraw.graphs.passes.rewriter import free_name, used_nodes
from coopdraw.graphs.types import DType, TensorType


@dataclass(frozen=True)
class PrecisionPlan:
    """What a graph is to become: `narrow` nodes and inputs are those in half precision, all others stay in float32.

    `converted` is whether the graph's signature may change; else its outputs stay float32 as well.
    """

    graph: Graph
    narrow: frozenset[Node]
    narrow_inputs: frozenset[Value]
    converted: bool


def plan_graph(graph: Graph, wide: frozenset[Node] | None, callees: Mapping[str, PrecisionPlan]) -> PrecisionPlan:
    """The plan of a graph whose `wide` nodes stay in float32; None is the whole graph with its signature.

    An input becomes half precision if anything reads it so; one that only float32 nodes read keeps its digits.
    """
    if wide is None:
        return PrecisionPlan(graph, frozenset(), frozenset(), False)
    narrow = frozenset(
        node for node in graph.nodes if touches_float32(node) and node not in wide and not is_source(node)
    )
    plan = PrecisionPlan(graph, narrow, frozenset(), True)
    read = {value for node in graph.nodes for value, is_narrow in reads(plan, node, callees) if is_narrow}
    return replace(plan, narrow_inputs=frozenset(read.intersection(graph.inputs)))


def reads(plan: PrecisionPlan, node: Node, callees: Mapping[str, PrecisionPlan]) -> list[tuple[Value, bool]]:
    """The float32 operands of a node and whether it will read them in half precision."""
    if node.operator == "call":
        callee = callees[str(node.attributes["function"])]
        narrow = [parameter in callee.narrow_inputs for parameter in callee.graph.inputs]
    else:
        narrow = [node in plan.narrow] * len(node.inputs)
    pairs = zip(node.inputs, narrow, strict=True)
    return [(value, is_narrow) for value, is_narrow in pairs if value.type.dtype is DType.FLOAT32]


def read_forms(plan: PrecisionPlan, callees: Mapping[str, PrecisionPlan]) -> dict[Value, frozenset[bool]]:
    """For each float32 value that is read: whether in half precision, in float32, or both."""
    found: dict[Value, set[bool]] = {}
    for node in plan.graph.nodes:
        for value, is_narrow in reads(plan, node, callees):
            found.setdefault(value, set()).add(is_narrow)
    for value in plan.graph.outputs:
        found.setdefault(value, set()).add(False)
    return {value: frozenset(forms) for value, forms in found.items()}


class MixedGraph:
    """A graph on its way into two precisions: every float32 value may get a form in each.

    A value is made in one precision and cast to the other where that is first read. So a value between two float32
    nodes is never rounded (rounding is only wanted for storage, and would cost two casts), and a half precision value
    that passes through float32 comes back as it was, since widening is exact.
    """

    def __init__(
        self,
        plan: PrecisionPlan,
        half: DType,
        callees: Mapping[str, PrecisionPlan],
        functions: Mapping[str, Graph],
        half_names: Mapping[str, str],
    ) -> None:
        """`functions` are the rebuilt callees, `half_names` what weights are called in half precision."""
        self._plan = plan
        self._half = half
        self._callees = callees
        self._functions = functions
        self._half_names = half_names
        self._names = {value.name for value in plan.graph.values}
        self._wide_forms: dict[Value, Value] = {}
        self._narrow_forms: dict[Value, Value] = {}
        self._born_narrow: set[Value] = set()
        self._renamed: dict[Value, Value] = {}
        self._nodes: list[Node] = []
        self._source = ""

    def rebuild(self) -> Graph:
        """The new graph, without nodes that nothing uses; the very graph if nothing changes."""
        graph = self._plan.graph
        inputs = tuple(self._input(value) for value in graph.inputs)
        demands = read_forms(self._plan, self._callees)
        for node in graph.nodes:
            self._source = node.source
            if is_source(node) and node.output.type.dtype is DType.FLOAT32:
                self._write_source(node, demands.get(node.output, frozenset()))
            elif node.operator == "cast":
                self._write_cast(node)
            else:
                self._write(node)
        outputs = tuple(self._output(value) for value in graph.outputs)
        if (inputs, tuple(self._nodes), outputs) == (graph.inputs, graph.nodes, graph.outputs):
            return graph
        return replace(graph, inputs=inputs, nodes=used_nodes(self._nodes, outputs), outputs=outputs)

    def _input(self, value: Value) -> Value:
        if value not in self._plan.narrow_inputs:
            self._wide_forms[value] = value
            return value
        self._born_narrow.add(value)
        self._narrow_forms[value] = Value(value.name, self._narrow_type(value))
        return self._narrow_forms[value]

    def _write_source(self, node: Node, demanded: frozenset[bool]) -> None:
        """A constant or weight in the forms that are read; one that is read in half precision alone keeps its name."""
        value = node.output
        if demanded != {True}:
            self._nodes.append(node)
            self._wide_forms[value] = value
        if True not in demanded:
            return
        name = value.name if demanded == {True} else self._unique_name(f"{value.name}_{self._half}")
        narrow = Value(name, self._narrow_type(value))
        if node.operator == "weight":
            renamed = self._half_names[str(node.attributes["name"])]
            self._nodes.append(replace(node, outputs=(narrow,), attributes={"name": renamed}))
        else:
            with np.errstate(over="ignore"):
                array = np.asarray(node.attributes["value"]).astype(self._half.numpy)
            self._nodes.append(replace(constant_node(narrow, array, node.source), passes=node.passes))
        self._narrow_forms[value] = narrow

    def _write_cast(self, node: Node) -> None:
        """A cast that was there: one from float32 to half precision or back gives its operand another form."""
        operand, result = node.inputs[0], node.output
        types = operand.type.dtype, result.type.dtype
        if types == (DType.FLOAT32, self._half) and operand in self._born_narrow:
            self._renamed[result] = self._narrow_forms[operand]
            return
        self._write(node)
        if types == (DType.FLOAT32, self._half):
            self._narrow_forms.setdefault(operand, result)
        elif types == (self._half, DType.FLOAT32):
            self._narrow_forms[result] = self._renamed.get(operand, operand)

    def _write(self, node: Node) -> None:
        forms = iter(reads(self._plan, node, self._callees))
        inputs = tuple(
            self._form(*next(forms)) if value.type.dtype is DType.FLOAT32 else self._renamed.get(value, value)
            for value in node.inputs
        )
        if node.operator == "call":
            types = [value.type for value in self._functions[str(node.attributes["function"])].outputs]
        else:
            types = [self._narrow_type(v) if node in self._plan.narrow else v.type for v in node.outputs]
        outputs = tuple(
            value if value.type == type else Value(value.name, type)
            for value, type in zip(node.outputs, types, strict=True)
        )
        for value, made in zip(node.outputs, outputs, strict=True):
            if made is not value:
                self._born_narrow.add(value)
                self._narrow_forms[value] = made
            elif value.type.dtype is DType.FLOAT32:
                self._wide_forms[value] = value
        same = (inputs, outputs) == (node.inputs, node.outputs)
        self._nodes.append(node if same else replace(node, inputs=inputs, outputs=outputs))

    def _form(self, value: Value, narrow: bool) -> Value:
        """A float32 value in one precision, cast from the other where it isn't there yet."""
        wanted, other = (self._narrow_forms, self._wide_forms) if narrow else (self._wide_forms, self._narrow_forms)
        if value not in wanted:
            dtype = self._half if narrow else DType.FLOAT32
            attributes = {"dtype": dtype.value}
            (type,) = infer("cast", [other[value].type], attributes)
            wanted[value] = Value(self._unique_name(f"{value.name}_{dtype}"), type)
            self._nodes.append(Node("cast", (other[value],), (wanted[value],), attributes, self._source))
        return wanted[value]

    def _output(self, value: Value) -> Value:
        """In the precision in which it is made, if the signature may change."""
        if value.type.dtype is not DType.FLOAT32:
            return self._renamed.get(value, value)
        if self._plan.converted and value in self._born_narrow:
            return self._narrow_forms[value]
        return self._form(value, narrow=False)

    def _narrow_type(self, value: Value) -> TensorType:
        type = value.type
        return replace(type, dtype=self._half) if type.dtype is DType.FLOAT32 else type

    def _unique_name(self, wish: str) -> str:
        name = free_name(wish, self._names)
        self._names.add(name)
        return name
