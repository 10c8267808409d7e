"""Writes one graph without calls as a MindIR model for MindSpore Lite."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.mindir.emission import ModelWriter, describe
from coopdraw.graphs.mindir.lite import emitters as emitters  # fills the registry
from coopdraw.graphs.mindir.lite.emission import LiteEmitter, find_lite_rule, lite_type
from coopdraw.graphs.mindir.lite.weight_views import WeightView, weight_view
from coopdraw.graphs.mindir.variables import Placement

LITE_VERSION = "2.0.0"
_MIND_IR_VERSION = 1
"""The newest that Lite 2.0.0 reads."""


def build_lite_model(graph: Graph, weights: Mapping[str, Placement]) -> Any:
    """The ModelProto of a graph; `weights` says where, relative to the model's folder, weights lie.

    Raises MindirError for a node that has no Lite form.
    """
    writer = ModelWriter()
    model = writer.model
    model.ir_version = "1.1"
    model.producer_name = "MindSpore"
    model.model_version = LITE_VERSION
    model.producer_version = LITE_VERSION
    model.little_endian = True
    model.mind_ir_version = _MIND_IR_VERSION
    model.graph.name = graph.name
    names: dict[Value, str] = {}
    stored: set[str] = set()
    for value in graph.inputs:
        entry = model.graph.input.add()
        entry.name = names[value] = f"input:{value.name}"
        describe(entry.tensor.add(), lite_type(value.type))
    for node in graph.nodes:
        view = weight_view(graph, node)
        if view is not None:
            names[node.output] = _add_weight(model.graph, view, view.place(weights[view.name]))
        else:
            names.update(zip(node.outputs, _emit(writer, node, names, stored), strict=True))
        if view is not None or node.operator == "constant":
            stored.add(names[node.output])
    for value in graph.outputs:
        output = model.graph.output.add()
        output.name = names[value]
        describe(output.tensor.add(), lite_type(value.type))
    return model


def _add_weight(proto: Any, view: WeightView, place: Placement) -> str:
    """The parameter of a view, made once."""
    if all(parameter.name != view.label for parameter in proto.parameter):
        parameter = proto.parameter.add()
        parameter.name = view.label
        describe(parameter, lite_type(view.type))
        parameter.external_data.location = place.location
        parameter.external_data.offset = place.offset
        parameter.external_data.length = place.length
    return view.label


def _emit(writer: ModelWriter, node: Node, names: Mapping[Value, str], stored: Container[str]) -> list[str]:
    inputs = [names[value] for value in node.inputs]
    if node.operator == "call":
        raise MindirError(f"{node.where()} is a call, which a Lite model cannot have; write it as a model of its own")
    if node.operator == "identity":
        return inputs
    return list(find_lite_rule(node)(LiteEmitter(writer, writer.model.graph, node, inputs, stored)))
