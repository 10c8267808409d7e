"""Reads a MindIR file into a Module of canonical operators.

Monads and loads are dropped, constant inputs become attributes, and results are compared with the declared types.
"""

from __future__ import annotations

import reprlib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.mindir.graph_reader import FUNCTION_PREFIX, FileScope, GraphReader
from coopdraw.graphs.mindir.parameters import parameter_weight, plain_name
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.weights import Weight


def read_mindir(path: Path) -> Module:
    """The Module in a `.mindir` file; weights stay where they are, as references.

    Raises MindirError or GraphError for a file that is truncated, corrupt, dynamic, recursive, names data outside its
    folder or uses a primitive that the IR doesn't know.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MindirError(f"cannot read {path}: {error.strerror}; check the path") from error
    model = parse_model(content, path.name)
    return module_from_model(model, path)


def parse_model(content: bytes, origin: str) -> Any:
    """The ModelProto in `content`; `origin` is what errors call it."""
    model = schema().ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, UnicodeDecodeError) as error:
        # The second one comes from protobuf's Python implementation, which MindSpore chooses when it is imported first.
        raise MindirError(f"{origin} is not a MindIR file or is damaged ({error}); export it again") from error
    if not model.producer_name or not model.HasField("graph"):
        raise MindirError(f"{origin} is not a MindIR file (it has no producer or no graph); export it again")
    return model


def module_from_model(model: Any, path: Path | None = None) -> Module:
    """The Module of a parsed ModelProto.

    Without `path` it is a weight-free trace: parameters have no bytes, and those that no graph reads (the seed of an
    idle dropout) are left out.
    """
    try:
        return _read_module(model, path)
    except UnicodeDecodeError as error:
        raise MindirError(f"a name in the file is not UTF-8 ({error.reason}); export the file again") from error


def _read_module(model: Any, path: Path | None) -> Module:
    _check_printable(model)
    primitives = {f"{FUNCTION_PREFIX}{primitive.name}": primitive for primitive in model.primitives}
    if len(primitives) != len(model.primitives):
        raise MindirError("two primitives have the same name; export the file again")
    weights: dict[str, Weight] = {}
    parameters: dict[str, str] = {}
    for parameter in model.graph.parameter:
        name = plain_name(parameter.name)
        if name in weights:
            raise MindirError(f"two parameters are named {name}; export the file again")
        weights[name] = parameter_weight(parameter, path)
        parameters[parameter.name] = name
    functions: dict[str, Graph] = {}
    scope = FileScope(primitives, weights, parameters, functions)
    for proto in (model.graph, *model.functions):
        GraphReader(proto, scope).check_branches()
    for proto in _callees_first(model.functions):
        functions[proto.name] = GraphReader(proto, scope).read()
    entry = GraphReader(model.graph, scope).read()
    if entry.name in functions:
        raise MindirError(f"the entry and a function are both named {entry.name}; export the file again")
    if path is None:
        read = {name for graph in (entry, *functions.values()) for name in graph.weight_names()}
        weights = {name: weight for name, weight in weights.items() if name in read}
    return Module(entry, functions, weights)


def _check_printable(model: Any) -> None:
    """Names go into error messages and onto terminals."""
    names = [text for primitive in model.primitives for text in (primitive.name, primitive.op_type)]
    for graph in (model.graph, *model.functions):
        names.append(graph.name)
        names += [item.name for items in (graph.input, graph.output, graph.parameter) for item in items]
        names += [parameter.external_data.location for parameter in graph.parameter]
        for node in graph.node:
            names += (node.name, node.op_type, node.domain, *node.input, *node.output)
    for name in names:
        # protobuf gives bytes for what isn't UTF-8
        if not isinstance(name, str) or not name.isprintable():
            raise MindirError(f"the name {reprlib.repr(name)} has control characters; export the file again")


def _callees_first(protos: Any) -> list[Any]:
    """Functions in an order in which each one comes after those it calls."""
    by_call = {f"{FUNCTION_PREFIX}{proto.name}": proto for proto in protos}
    if len(by_call) != len(protos):
        raise MindirError("two functions have the same name; export the file again")
    order = TopologicalSorter({call: {node.op_type for node in proto.node} for call, proto in by_call.items()})
    try:
        return [by_call[call] for call in order.static_order() if call in by_call]
    except CycleError as error:
        circle = " -> ".join(call.removeprefix(FUNCTION_PREFIX) for call in reversed(error.args[1]))
        raise MindirError(f"functions call each other in a circle: {circle}; unroll the loop in the Cell") from None
