"""Writes a Module as MindIR: one protobuf file, weights in data files beside it, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.mindir import emitters as emitters  # fills the registry
from coopdraw.graphs.mindir.custom import Kernels, emit_custom, legalise, no_kernels
from coopdraw.graphs.mindir.emission import ModelWriter, NodeEmitter, describe, find_rule
from coopdraw.graphs.mindir.variables import Placement, write_variables

MINDSPORE_VERSION = "2.10.0"
_MIND_IR_VERSION = 3


def write_mindir(module: Module, path: Path, kernels: Kernels = no_kernels) -> dict[str, Placement]:
    """Writes `path` and, for weights, the folder `<stem>_variables` beside it; returns where each weight went.

    Operators become `Custom` nodes where `kernels` has one; fused ones are taken apart where not. Weights are read one
    at a time and equal bytes are stored once. Raises MindirError for a node that has no MindSpore
    form, OSError where the disk refuses.
    """
    folder = f"{path.stem}_variables"
    placements = write_variables(module.weights, path.parent, folder)
    path.write_bytes(build_model(module, placements, kernels).SerializeToString(deterministic=True))
    return placements


def build_model(module: Module, placements: Mapping[str, Placement], kernels: Kernels = no_kernels) -> Any:
    """The ModelProto of a module whose weights lie at `placements`."""
    module = legalise(module, kernels)
    writer = ModelWriter()
    model = writer.model
    model.ir_version = "1.1"
    model.producer_name = "MindSpore"
    model.model_version = MINDSPORE_VERSION
    model.producer_version = MINDSPORE_VERSION
    model.little_endian = True
    model.mind_ir_version = _MIND_IR_VERSION
    for name in sorted(module.weights):
        parameter = model.graph.parameter.add()
        parameter.name = name
        parameter.ref_key = name
        describe(parameter, module.weights[name].type)
        place = placements[name]
        parameter.external_data.location = place.location
        parameter.external_data.offset = place.offset
        parameter.external_data.length = place.length
    for name in sorted(module.functions):
        _GraphWriter(writer, module, model.functions.add(), kernels).write(module.functions[name])
    _GraphWriter(writer, module, model.graph, kernels).write(module.entry)
    return model


class _GraphWriter:
    def __init__(self, writer: ModelWriter, module: Module, proto: Any, kernels: Kernels) -> None:
        self._writer = writer
        self._kernels = kernels
        self._module = module
        self._proto = proto
        self._names: dict[Value, str] = {}

    def write(self, graph: Graph) -> None:
        self._proto.name = graph.name
        for value in graph.inputs:
            entry = self._proto.input.add()
            entry.name = f"{graph.name}:{value.name}"
            describe(entry.tensor.add(), value.type)
            self._names[value] = entry.name
        for node in graph.nodes:
            self._write_node(node)
        for value, name in zip(graph.outputs, graph.output_names, strict=True):
            self._write_output(graph, value, name)

    def _write_node(self, node: Node) -> None:
        inputs = [self._names[value] for value in node.inputs]
        if node.operator == "weight":
            results = [str(node.attributes["name"])]
        elif node.operator == "identity":
            results = inputs
        else:
            emitter = NodeEmitter(self._writer, self._proto, node, inputs)
            results = list(self._emit(emitter))
        self._names.update(zip(node.outputs, results, strict=True))

    def _emit(self, emitter: NodeEmitter) -> list[str]:
        node = emitter.node
        if node.operator == "constant":
            return [emitter.constant(node.attributes["value"])]  # type: ignore[arg-type]
        if node.operator == "call":
            function = self._module.functions[str(node.attributes["function"])]
            return emitter.call(function.name, emitter.inputs, [value.type for value in function.outputs])
        kernel = self._kernels(node)
        return emit_custom(emitter, kernel) if kernel is not None else list(find_rule(node)(emitter))

    def _write_output(self, graph: Graph, value: Value, name: str) -> None:
        """An output is a node of its own, named as callers know it: MindSpore takes no input or weight as an output."""
        if ":" in name:
            raise MindirError(f"output {name} of {graph.name} has a colon in its name; rename it")
        node = Node("reshape", (value,), (Value(name, value.type),), {"shape": value.type.shape})
        emitter = NodeEmitter(self._writer, self._proto, node, [self._names[value]])
        emitted = emitter.add("Reshape", *emitter.inputs, emitter.constant(value.type.shape))
        full = f"{graph.name}:output:{name}"
        last = self._proto.node[-1]
        if last.output[0] != emitted:
            raise MindirError(f"output {name} of {graph.name} cannot be written")
        last.name = last.output[0] = full
        output = self._proto.output.add()
        output.name = full
        describe(output.tensor.add(), value.type)
