"""A module as a ModelProto: the entry as the graph, its steps in loops, functions and fused operators as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from coopdraw.graphs.errors import OnnxError
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.mindir.variables import Placement
from coopdraw.graphs.onnx import emitters as emitters  # fills the registry
from coopdraw.graphs.onnx.custom import emit_custom
from coopdraw.graphs.onnx.emission import NodeEmitter, Scope, find_rule
from coopdraw.graphs.onnx.emitters.microsoft import RULES
from coopdraw.graphs.onnx.form import OnnxForm
from coopdraw.graphs.onnx.functions import Functions, decomposition
from coopdraw.graphs.onnx.names import Names, hand_out
from coopdraw.graphs.onnx.protobuf import TENSOR_CODES, onnx, value_info
from coopdraw.graphs.onnx.rolling import Carried, Inside, Loop, Source, Stacked, State, roll
from coopdraw.graphs.onnx.sums import spell_out_sums
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.passes.rewriter import free_name
from coopdraw.graphs.types import TensorType

_IR_VERSION = 10


def build_model(module: Module, placements: Mapping[str, Placement], form: OnnxForm) -> Any:
    """The ModelProto of a module whose weights lie at `placements`; raises OnnxError for what ONNX can't say."""
    return _ModelWriter(module, form, placements).build()


class _ModelWriter:
    def __init__(self, module: Module, form: OnnxForm, placements: Mapping[str, Placement]) -> None:
        self._module = module
        self._form = form
        self._placements = placements
        self._functions = Functions(form, self._emit)

    def build(self) -> Any:
        entry = self._module.entry
        inputs, outputs = [value.name for value in entry.inputs], _output_names(entry)
        scope = Scope(self._form, [*inputs, *outputs])
        hand_out(scope, self._emit_entry(scope, inputs), outputs)
        graph = self._graph(
            entry.name or "main",
            scope,
            dict(zip(inputs, (value.type for value in entry.inputs), strict=True)),
            dict(zip(outputs, (value.type for value in entry.outputs), strict=True)),
        )
        model = onnx().ModelProto(ir_version=_IR_VERSION, producer_name="coopdraw", graph=graph)
        model.opset_import.extend(self._functions.imports())
        model.functions.extend(self._functions.protos)
        return model

    def _graph(
        self, name: str, scope: Scope, inputs: Mapping[str, TensorType], outputs: Mapping[str, TensorType]
    ) -> Any:
        graph = onnx().GraphProto(name=name, node=scope.nodes)
        graph.input.extend(value_info(*pair) for pair in inputs.items())
        graph.output.extend(value_info(*pair) for pair in outputs.items())
        graph.initializer.extend(self._initializer(*pair) for pair in scope.weights.items())
        return graph

    def _initializer(self, weight: str, name: str) -> Any:
        type, place = self._module.weights[weight].type, self._placements[weight]
        if place.length != type.nbytes:
            raise OnnxError(f"weight {weight} is {type}, but {place.length} bytes are stored for it; write them again")
        proto = onnx().TensorProto(name=name, dims=type.shape, data_type=TENSOR_CODES[type.dtype])
        proto.data_location = onnx().TensorProto.EXTERNAL
        for key in ("location", "offset", "length"):
            proto.external_data.add(key=key, value=str(getattr(place, key)))
        return proto

    def _emit_entry(self, scope: Scope, inputs: Sequence[str]) -> list[str]:
        if not self._form.loops:
            return self._emit(scope, self._module.entry, inputs)
        entry = spell_out_sums(self._module.entry)
        names = Names(scope, entry, inputs)
        for item in roll(entry):
            if isinstance(item, Loop):
                self._emit_loop(names, item)
            else:
                results = self._emit_node(scope, item, [names[value] for value in item.inputs])
                names.update(dict(zip(item.outputs, results, strict=True)))
        return [names[value] for value in entry.outputs]

    def _emit_loop(self, names: Names, loop: Loop) -> None:
        """A Scan: states first, then the stacked constants, of which each iteration gets a slice."""
        if not loop.states:
            return  # nothing reads it
        outer = names.scope
        body = Scope(self._form, parent=outer)
        stacks = [np.stack([names.array(value) for value in stack]) for stack in loop.stacks]
        # With nothing to slice, a Scan doesn't know how often to run.
        stacks = stacks or [np.arange(loop.count)]
        states = {body.unique_name("state"): state.type for state in loop.states}
        slices = {body.unique_name("slice"): TensorType.of(stack[0]) for stack in stacks}
        updates = {body.unique_name("update"): state.type for state in loop.states}
        inner = Names(body, names.graph, outer=names)
        results: list[list[str]] = []
        for node, operands in zip(loop.nodes, loop.operands, strict=True):
            inputs = [_operand(source, inner, results, list(states), list(slices)) for source in operands]
            results.append(self._emit_node(body, node, inputs))
        hand_out(body, [results[state.update.node][state.update.output] for state in loop.states], list(updates))
        graph = self._graph(outer.unique_name("body"), body, states | slices, updates)
        arguments = [*(_initial(names, state) for state in loop.states), *map(outer.constant, stacks)]
        finals = [outer.unique_name(state.final.name) for state in loop.states]
        outer.append("Scan", arguments, finals, body=graph, num_scan_inputs=len(stacks))
        names.update({state.final: name for state, name in zip(loop.states, finals, strict=True)})

    def _emit(self, scope: Scope, graph: Graph, inputs: Sequence[str]) -> list[str]:
        """Writes the nodes of a graph into `scope`; returns what its outputs are called there."""
        names = Names(scope, graph, inputs)
        for node in graph.nodes:
            if node.operator not in ("constant", "weight"):
                results = self._emit_node(scope, node, [names[value] for value in node.inputs])
                names.update(dict(zip(node.outputs, results, strict=True)))
        return [names[value] for value in graph.outputs]

    def _emit_node(self, scope: Scope, node: Node, inputs: Sequence[str]) -> list[str]:
        emitter = NodeEmitter(scope, node, inputs)
        custom = self._form.customs(node)
        if node.operator == "identity":
            return list(inputs)
        if node.operator == "call":
            function = self._module.functions[str(node.attributes["function"])]
            return (
                self._functions.call(emitter, function) if self._form.functions else self._emit(scope, function, inputs)
            )
        if custom is not None:
            return emit_custom(emitter, custom)
        if lookup(node.operator).decompose is None:
            return list(find_rule(node)(emitter))
        if self._form.microsoft and node.operator in RULES:
            results = RULES[node.operator](emitter, partial(self._functions.runtime, emitter))
            if results is not None:
                return results
        if self._form.functions:
            return self._functions.fused(emitter)
        return self._emit(scope, decomposition(node.operator, [v.type for v in node.inputs], node.attributes), inputs)


def _operand(
    source: Source, names: Names, results: Sequence[Sequence[str]], states: Sequence[str], slices: Sequence[str]
) -> str:
    """What an operand of a loop's body is called there."""
    match source:
        case Inside(node, output):
            return results[node][output]
        case Carried(state):
            return states[state]
        case Stacked(stack):
            return slices[stack]
    return names[source]


def _initial(names: Names, state: State) -> str:
    if state.initial is not None:
        return names[state.initial]
    return names.scope.constant(np.zeros(state.type.shape, state.type.dtype.numpy))


def _output_names(entry: Graph) -> list[str]:
    """What the outputs are called: as in the program, but an output with an input's name gets `.output` behind it."""
    taken = {value.name for value in entry.inputs} | set(entry.output_names)
    if "" in taken:
        raise OnnxError(f"an input or output of {entry.name} has no name; give it one")
    inputs = {value.name for value in entry.inputs}
    return [free_name(f"{name}.output", taken) if name in inputs else name for name in entry.output_names]
