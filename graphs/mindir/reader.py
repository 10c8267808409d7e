"""Reads a MindIR file into a Module of canonical operators.

Monads and loads are dropped, constant inputs become attributes, and results are compared with the declared types.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    except DecodeError as error:
        raise MindirError(f"{origin} is not a MindIR file or is damaged ({error}); export it again") from error
    if not model.producer_name or not model.HasField("graph"):
        raise MindirError(f"{origin} is not a MindIR file (it has no producer or no graph); export it again")
    return model


def module_from_model(model: Any, path: Path | None = None) -> Module:
    """The Module of a parsed ModelProto.

    Without `path` it is a weight-free trace: parameters have no bytes, and those that no graph reads (the seed of an
    idle dropout) are left out.
    """
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
    functions = _read_functions(model.functions, primitives, weights, parameters)
    entry = GraphReader(model.graph, FileScope(primitives, weights, parameters, functions)).read()
    if entry.name in functions:
        raise MindirError(f"the entry and a function are both named {entry.name}; export the file again")
    if path is None:
        read = {name for graph in (entry, *functions.values()) for name in graph.weight_names()}
        weights = {name: weight for name, weight in weights.items() if name in read}
    return Module(entry, functions, weights)


def _read_functions(
    protos: Any, primitives: Mapping[str, Any], weights: Mapping[str, Weight], parameters: Mapping[str, str]
) -> dict[str, Graph]:
    """All functions, callees before callers."""
    waiting = {proto.name: proto for proto in protos}
    if len(waiting) != len(protos):
        raise MindirError("two functions have the same name; export the file again")
    calls = {
        name: {node.op_type.removeprefix(FUNCTION_PREFIX) for node in proto.node} & waiting.keys()
        for name, proto in waiting.items()
    }
    functions: dict[str, Graph] = {}
    while waiting:
        ready = [name for name in waiting if not calls[name] & waiting.keys()]
        if not ready:
            raise MindirError(f"functions {', '.join(sorted(waiting))} call each other in a circle; unroll them")
        for name in ready:
            proto = waiting.pop(name)
            functions[name] = GraphReader(proto, FileScope(primitives, weights, parameters, functions)).read()
    return functions
