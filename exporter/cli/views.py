"""Graphs for other programs: as JSON, and as Graphviz dot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Module, Value

TEMPLATES = Path(__file__).parent.parent / "templates"


def module_as_json(module: Module, elide: int) -> str:
    """The entry graph, the functions and the weights' types."""
    data = {
        "entry": _graph(module.entry, elide),
        "functions": {name: _graph(graph, elide) for name, graph in module.functions.items()},
        "weights": {
            name: {"dtype": str(weight.type.dtype), "shape": weight.type.shape}
            for name, weight in module.weights.items()
        },
    }
    return json.dumps(data, indent=1, sort_keys=True)


def graph_as_json(graph: Graph, elide: int) -> str:
    """One graph; arrays of more than `elide` elements are shown without their values."""
    return json.dumps(_graph(graph, elide), indent=1, sort_keys=True)


def graph_as_dot(graph: Graph) -> str:
    """One graph for Graphviz: nodes are operators with their source Cell, edges are values with their types."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = _quote
    producers: dict[Value, str] = {value: f"input{index}" for index, value in enumerate(graph.inputs)}
    for index, node in enumerate(graph.nodes):
        producers.update(dict.fromkeys(node.outputs, f"node{index}"))
    text: str = environment.get_template("graph.dot.j2").render(graph=graph, producers=producers)
    return text


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _graph(graph: Graph, elide: int) -> dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": [_value(value) for value in graph.inputs],
        "nodes": [
            {
                "operator": node.operator,
                "inputs": [value.name for value in node.inputs],
                "outputs": [_value(value) for value in node.outputs],
                "attributes": {name: _attribute(item, elide) for name, item in node.attributes.items()},
                "source": node.source,
            }
            for node in graph.nodes
        ],
        "outputs": [
            {"name": name, "value": value.name} for name, value in zip(graph.output_names, graph.outputs, strict=True)
        ],
    }


def _value(value: Value) -> dict[str, Any]:
    return {"name": value.name, "dtype": str(value.type.dtype), "shape": value.type.shape}


def _attribute(attribute: Attribute, elide: int) -> Any:
    """JSON for an attribute; numbers that JSON lacks become strings."""
    if isinstance(attribute, np.ndarray):
        shown = {} if attribute.size > elide else {"values": _attribute(tuple(attribute.reshape(-1).tolist()), elide)}
        return {"dtype": attribute.dtype.name, "shape": attribute.shape, **shown}
    if isinstance(attribute, tuple):
        return [_attribute(item, elide) for item in attribute]
    if isinstance(attribute, float) and not np.isfinite(attribute):
        return str(attribute)
    return attribute
