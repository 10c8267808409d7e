"""Reads a MindIR file into a Module of canonical operators.

Monads and loads are dropped, constant inputs become attributes, and results are compared with the declared types.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError, MindirError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.mindir import importers as importers  # fills the registry
from coopdraw.graphs.mindir.codes import tensor_type
from coopdraw.graphs.mindir.constants import attribute_value
from coopdraw.graphs.mindir.parameters import parameter_weight, plain_name
from coopdraw.graphs.mindir.primitives import MONAD, Imported, PrimitiveCall, find_importer
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.weights import Weight

_PASSED_ON = {"Load", "Depend"}


def read_mindir(path: Path) -> Module:
    """The Module in a `.mindir` file; weights stay where they are, as references.

    Raises MindirError for a file that is truncated, corrupt, dynamic, recursive, names data outside its folder or uses
    a primitive that the IR doesn't know.
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
    """The Module of a parsed ModelProto; without `path` (a weight-free trace) parameters have no bytes."""
    primitives = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
    weights: dict[str, Weight] = {}
    parameters: dict[str, str] = {}
    for parameter in model.graph.parameter:
        name = plain_name(parameter.name)
        if name in weights:
            raise MindirError(f"two parameters are named {name}; export the file again")
        weights[name] = parameter_weight(parameter, path)
        parameters[parameter.name] = name
    reader = _Reader(primitives, weights, parameters)
    functions = reader.read_functions(model.functions)
    entry = reader.read_graph(model.graph)
    if entry.name in functions:
        raise MindirError(f"the entry and a function are both named {entry.name}; export the file again")
    return Module(entry, functions, weights)


class _Reader:
    def __init__(
        self, primitives: Mapping[str, Any], weights: Mapping[str, Weight], parameters: Mapping[str, str]
    ) -> None:
        self._primitives = primitives
        self._weights = weights
        self._parameters = parameters
        self._functions: dict[str, Graph] = {}

    def read_functions(self, protos: Any) -> dict[str, Graph]:
        """All functions, callees before callers."""
        waiting = {proto.name: proto for proto in protos}
        if len(waiting) != len(protos):
            raise MindirError("two functions have the same name; export the file again")
        calls = {
            name: {node.op_type[5:] for node in proto.node if node.op_type.startswith("REF::")} & waiting.keys()
            for name, proto in waiting.items()
        }
        while waiting:
            ready = [name for name in waiting if not calls[name] & waiting.keys()]
            if not ready:
                raise MindirError(f"functions {', '.join(sorted(waiting))} call each other in a circle; unroll them")
            for name in ready:
                self._functions[name] = self.read_graph(waiting.pop(name))
        return self._functions

    def read_graph(self, proto: Any) -> Graph:
        return _GraphReader(proto, self._primitives, self._weights, self._parameters, self._functions).read()


class _GraphReader:
    def __init__(
        self,
        proto: Any,
        primitives: Mapping[str, Any],
        weights: Mapping[str, Weight],
        parameters: Mapping[str, str],
        functions: Mapping[str, Graph],
    ) -> None:
        self._proto = proto
        self._primitives = primitives
        self._weights = weights
        self._parameters = parameters
        self._functions = functions
        self._builder = GraphBuilder(proto.name)
        self._known: dict[str, Imported] = {}

    def read(self) -> Graph:
        for entry in self._proto.input:
            if len(entry.tensor) != 1:
                raise MindirError(f"input {entry.name} of {self._proto.name} is not a tensor; pass tensors only")
            tensor = entry.tensor[0]
            self._known[entry.name] = self._builder.input(
                plain_name(entry.name), tensor_type(tensor.dims, tensor.data_type)
            )
        for node in self._proto.node:
            self._read_node(node)
        return self._build()

    def _build(self) -> Graph:
        outputs: list[Value] = []
        names: list[str] = []
        for output in self._proto.output:
            result = self._find(output.name)
            for value in result if isinstance(result, tuple) else (result,):
                if not isinstance(value, Value):
                    raise MindirError(
                        f"output {output.name} of {self._proto.name} is not a tensor; return tensors only"
                    )
                outputs.append(value)
                names.append(plain_name(output.name))
        if len(set(names)) != len(names):
            names = [f"output_{index}" for index in range(len(names))]
        return _without_unused(self._builder.build(outputs, names))

    def _find(self, name: str) -> Imported:
        if name in self._known:
            return self._known[name]
        if name in self._parameters:
            weight = self._parameters[name]
            self._builder.source = ""
            self._known[name] = self._builder.weight(weight, self._weights[weight].type)
            return self._known[name]
        raise MindirError(f"{self._proto.name} uses {name} before it is made; export the file again")

    def _read_node(self, node: Any) -> None:
        if len(node.output) != 1:
            raise MindirError(f"node {node.name} has {len(node.output)} outputs, not 1; export the file again")
        self._known[node.output[0]] = self._import(node)

    def _import(self, node: Any) -> Imported:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Constant":
            if "value" not in attributes:
                raise MindirError(f"constant {node.name} has no value; export the file again")
            return attribute_value(attributes["value"])
        self._builder.source = source_of(node.domain)
        arguments = [self._find(name) for name in node.input]
        primitive = self._primitives.get(node.op_type)
        operator = primitive.op_type if primitive is not None else node.op_type
        if operator == "UpdateState":
            return MONAD
        if operator in _PASSED_ON and arguments:
            return arguments[0]
        arguments = [argument for argument in arguments if argument is not MONAD]
        if operator.startswith("REF::"):
            return self._call(operator[5:], arguments)
        shape = attributes.pop("shape", None)
        values = {a.name: attribute_value(a) for a in primitive.attribute} if primitive is not None else {}
        values |= {name: attribute_value(attribute) for name, attribute in attributes.items()}
        call = PrimitiveCall(operator, arguments, values, self._builder, _declared(shape))
        return self._run(call)

    def _run(self, call: PrimitiveCall) -> Imported:
        importer = find_importer(call)
        try:
            result = importer(call)
        except GraphError as error:
            raise call.error(f"cannot be imported: {error}") from error
        if isinstance(result, Value) and isinstance(call.declared, tuple) and len(call.declared) == 1:
            declared = call.declared[0]
            if result.type != declared:
                raise call.error(f"is declared to give {declared}, but gives {result.type}; export the file again")
        return result

    def _call(self, name: str, arguments: list[Imported]) -> Imported:
        function = self._functions.get(name)
        if function is None:
            raise MindirError(f"{self._proto.name} calls {name}, which the file doesn't have; export the file again")
        passing = PrimitiveCall(name, arguments, {}, self._builder, None)
        values = [passing.tensor(index) for index in range(len(arguments))]
        results = self._builder.call(function, *values)
        return results[0] if len(results) == 1 else tuple(results)


def _without_unused(graph: Graph) -> Graph:
    """Importing leaves nodes behind: a product that took up its bias, statistics nobody reads, constants that became
    attributes."""
    used = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if used.intersection(node.outputs):
            kept.append(node)
            used.update(node.inputs)
    return graph.with_nodes(reversed(kept))


def source_of(domain: str) -> str:
    """Cell path from MindSpore's scope: `Default/blocks-CellList/1-Dense/MatMul-op0` is `blocks.1`."""
    return ".".join(part.rsplit("-", 1)[0] for part in domain.split("/")[1:-1])


def _declared(shape: Any) -> tuple[Any, ...] | None:
    """The types a node declares for its outputs, or None where it says nothing."""
    if shape is None or shape.type != schema().AttributeProto.TENSORS:
        return None
    return tuple(tensor_type(tensor.dims, tensor.data_type) for tensor in shape.tensors)
