"""Model-local functions: the program's own, and fused operators as the operators that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph
from coopdraw.graphs.onnx.emission import MICROSOFT, NodeEmitter, Scope
from coopdraw.graphs.onnx.emitters.microsoft import RuntimeOperator
from coopdraw.graphs.onnx.form import OnnxForm
from coopdraw.graphs.onnx.names import hand_out
from coopdraw.graphs.onnx.protobuf import onnx
from coopdraw.graphs.ops import Attributes
from coopdraw.graphs.passes.decomposition import decompose
from coopdraw.graphs.types import TensorType

DOMAIN = "coopdraw"
"""The domain of fused operators."""
PROGRAM = "coopdraw.program"
"""The domain of the program's own functions."""

Emit: TypeAlias = Callable[[Scope, Graph, Sequence[str]], list[str]]
"""Writes the nodes of a graph with the given inputs into a scope; returns what its outputs are called there."""


class Functions:
    """The functions of a model in the making; a fused operator has one for each combination of types and attributes."""

    def __init__(self, form: OnnxForm, emit: Emit) -> None:
        self.protos: list[Any] = []
        self._form = form
        self._emit = emit
        self._weights: dict[str, tuple[str, ...]] = {}
        self._fused: dict[object, str] = {}

    def imports(self) -> list[Any]:
        """The operator sets of the model and of every function."""
        domains = {"": self._form.opset}
        if self._form.microsoft:
            domains[MICROSOFT] = 1
        if self._form.functions:
            domains |= {DOMAIN: 1, PROGRAM: 1}
        return [onnx().helper.make_opsetid(domain, version) for domain, version in sorted(domains.items())]

    def call(self, emitter: NodeEmitter, function: Graph) -> list[str]:
        """A call. Weights are arguments, too: a function sees nothing of the graph around it."""
        if function.name not in self._weights:
            self._weights[function.name] = self._write(PROGRAM, function.name, function)
        weights = [emitter.scope.weight(name) for name in self._weights[function.name]]
        outputs = len(emitter.node.outputs)
        return list(emitter.add_many(function.name, *emitter.inputs, *weights, outputs=outputs, domain=PROGRAM))

    def fused(self, emitter: NodeEmitter) -> list[str]:
        """A fused operator as a function of the domain `coopdraw`."""
        node = emitter.node
        types = tuple(value.type for value in node.inputs)
        key = node.operator, types, repr(sorted(node.attributes.items()))
        if key not in self._fused:
            self._fused[key] = f"{node.operator}_{len(self._fused) + 1}"
            self._write(DOMAIN, self._fused[key], decomposition(node.operator, types, node.attributes))
        return list(emitter.add_many(self._fused[key], *emitter.inputs, outputs=len(node.outputs), domain=DOMAIN))

    def runtime(self, emitter: NodeEmitter, operator: RuntimeOperator) -> str:
        """A node for which ONNX Runtime has a kernel; others, and the checker, find a function of the same name."""
        key = operator.op_type, operator.values, repr(sorted(operator.meaning.items()))
        if key not in self._fused and self._form.functions:
            self._fused[key] = str(len(self._fused) + 1)
            parts = decomposition(emitter.node.operator, [type for _, type in operator.values], operator.meaning)
            self._write(MICROSOFT, operator.op_type, parts)
            proto = self.protos[-1]
            given = {place: name for (place, _), name in zip(operator.values, proto.input, strict=True)}
            del proto.input[:]
            proto.input.extend(given.get(place, f"unused_{place}") for place in range(len(operator.inputs)))
            proto.attribute.extend(sorted(operator.attributes))
            proto.overload = self._fused[key]
        result = emitter.add(operator.op_type, *operator.inputs, domain=MICROSOFT, **operator.attributes)
        emitter.scope.nodes[-1].overload = self._fused.get(key, "")
        return result

    def _write(self, domain: str, name: str, graph: Graph) -> tuple[str, ...]:
        """Returns the weights that the function has as inputs behind its own."""
        scope = Scope(self._form)
        inputs = [scope.unique_name(value.name) for value in graph.inputs]
        results = self._emit(scope, graph, inputs)
        outputs = [scope.unique_name(wish) for wish in graph.output_names]
        hand_out(scope, results, outputs)
        proto = onnx().FunctionProto(name=name, domain=domain, output=outputs, node=scope.nodes)
        proto.input.extend((*inputs, *scope.weights.values()))
        proto.opset_import.extend(self.imports())
        self.protos.append(proto)
        return tuple(scope.weights)


def decomposition(operator: str, types: Sequence[TensorType], attributes: Attributes) -> Graph:
    """The plain operators that a fused operator stands for, as a graph of its own."""
    builder = GraphBuilder(operator)
    values = [builder.input(f"x{index}", type) for index, type in enumerate(types)]
    outputs = builder.add_many(operator, *values, names=None, **attributes)
    whole = builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
    return decompose(whole, lambda node: False)[0]
