"""Reads one graph of a MindIR file: finds what its outputs depend on and imports that node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError, MindirError
from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.mindir import importers as importers  # fills the registry
from coopdraw.graphs.mindir.codes import tensor_type
from coopdraw.graphs.mindir.constants import attribute_value
from coopdraw.graphs.mindir.emission import PASSES
from coopdraw.graphs.mindir.parameters import TracedWeight, plain_name
from coopdraw.graphs.mindir.primitives import MONAD, Imported, PrimitiveCall, find_importer
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import Weight

_PASSED_ON = {"Load", "Depend"}
_BRANCHES = {"Switch", "SwitchLayer"}
FUNCTION_PREFIX = "REF::"


@dataclass(frozen=True)
class FileScope:
    """What every graph of a file can name: primitives by `op_type`, weights, parameters (full name to weight), and the
    functions read so far."""

    primitives: Mapping[str, Any]
    weights: Mapping[str, Weight]
    parameters: Mapping[str, str]
    functions: Mapping[str, Graph]

    def operator(self, node: Any) -> str:
        """The primitive that a node runs, or its `op_type` for constants and calls."""
        primitive = self.primitives.get(node.op_type)
        return str(node.op_type if primitive is None else primitive.op_type)


class GraphReader:
    """One GraphProto on its way into a Graph; raises MindirError for anything that makes no sense."""

    def __init__(self, proto: Any, scope: FileScope) -> None:
        self._proto = proto
        self._scope = scope
        self._builder = GraphBuilder(proto.name)
        self._known: dict[str, Imported] = {}
        self._constant_passes: dict[int, tuple[str, ...]] = {}  # by the identity of arrays, which `_known` keeps alive

    def read(self) -> Graph:
        self._check_names()
        for entry in self._proto.input:
            self._known[entry.name] = self._input(entry)
        for node in self._needed_nodes():
            self._known[node.output[0]] = self._import(node)
        return self._build()

    def _input(self, entry: Any) -> Imported:
        kind = schema().AttributeProto
        if entry.attr_info.type in (kind.UMONAD, kind.IOMONAD):
            return MONAD
        if len(entry.tensor) != 1:
            raise MindirError(f"input {entry.name} of {self._proto.name} is not a tensor; pass tensors only")
        tensor = entry.tensor[0]
        try:
            type = tensor_type(tensor.dims, tensor.data_type)
        except MindirError as error:
            raise MindirError(f"input {entry.name} of {self._proto.name}: {error}") from None
        return self._builder.input(plain_name(entry.name), type)

    def check_branches(self) -> None:
        """Raises MindirError if the graph chooses a function while it runs; what it chooses from may be anything."""
        for node in self._proto.node:
            if self._scope.operator(node) in _BRANCHES:
                call = PrimitiveCall("an if or while", (), {}, self._builder, None)
                self._builder.source = source_of(node.domain)
                raise call.error("depends on a tensor's value; use a Python value or mint.where")

    def _check_names(self) -> None:
        for node in self._proto.node:
            if len(node.output) != 1:
                raise MindirError(f"node {node.name} has {len(node.output)} outputs, not 1; export the file again")
        made = [entry.name for entry in self._proto.input] + [node.output[0] for node in self._proto.node]
        name, count = Counter([*made, *self._scope.parameters]).most_common(1)[0] if made else ("", 1)
        if count > 1:
            raise MindirError(f"{self._proto.name} has {count} values named {name}; export the file again")

    def _needed_nodes(self) -> list[Any]:
        """The nodes that outputs depend on. MindSpore keeps others for their effects, such as the generator of an idle
        dropout."""
        wanted = {output.name for output in self._proto.output}
        kept: list[Any] = []
        for node in reversed(self._proto.node):
            if node.output[0] in wanted:
                kept.append(node)
                wanted.update(self._data_inputs(node))
        return kept[::-1]

    def _data_inputs(self, node: Any) -> list[str]:
        """Names of the values a node reads; those that only order effects are left out."""
        operator = self._scope.operator(node)
        if operator == "UpdateState":
            return []
        return list(node.input[:1] if operator in _PASSED_ON else node.input)

    def _build(self) -> Graph:
        outputs: list[Value] = []
        names: list[str] = []
        for output in self._proto.output:
            result = self._find(output.name)
            for item in result if isinstance(result, tuple) else (result,):
                value = self._builder.constant(item) if isinstance(item, np.ndarray) else item
                if not isinstance(value, Value):
                    raise MindirError(
                        f"output {output.name} of {self._proto.name} is not a tensor; return tensors or one tuple"
                    )
                outputs.append(value)
                names.append(plain_name(output.name))
        if not outputs:
            raise MindirError(f"{self._proto.name} has no outputs; return at least one tensor")
        if len(set(names)) != len(names):
            names = [f"output_{index}" for index in range(len(names))]
        graph = _without_unused(self._builder.build(outputs, names))
        return graph.with_nodes(self._with_own_passes(node) for node in graph.nodes)

    def _with_own_passes(self, node: Node) -> Node:
        """Constants are made where they are read, but have a history of their own."""
        if node.operator != "constant":
            return node
        return replace(node, passes=self._constant_passes.get(id(node.attributes["value"]), ()))

    def _find(self, name: str) -> Imported:
        if name in self._known:
            return self._known[name]
        if name in self._scope.parameters:
            weight = self._scope.parameters[name]
            self._builder.source, self._builder.passes = "", ()
            self._known[name] = self._builder.weight(weight, self._scope.weights[weight].type)
            return self._known[name]
        raise MindirError(f"{self._proto.name} uses {name} before it is made; export the file again")

    def _import(self, node: Any) -> Imported:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Constant":
            if "value" not in attributes:
                raise MindirError(f"constant {node.name} has no value; export the file again")
            value = attribute_value(attributes["value"])
            if isinstance(value, np.ndarray):
                self._constant_passes[id(value)] = passes_of(node)
            return value
        operator = self._scope.operator(node)
        if operator == "UpdateState":
            return MONAD
        arguments = [self._find(name) for name in self._data_inputs(node)]
        if operator in _PASSED_ON and arguments:
            return arguments[0]
        arguments = [argument for argument in arguments if argument is not MONAD]
        # After `_find`, which makes weights, and these belong to no Cell.
        owner = self._owner(arguments)
        self._builder.source = source_of(node.domain) if owner is None else owner
        self._builder.passes = passes_of(node)
        call = PrimitiveCall(operator, arguments, {}, self._builder, None)
        shape = attributes.pop("shape", None)
        primitive = self._scope.primitives.get(node.op_type)
        own = [*(primitive.attribute if primitive is not None else ()), *attributes.values()]
        try:
            values = {attribute.name: attribute_value(attribute) for attribute in own}
            call = replace(call, attributes=values, declared=_declared(shape))
        except MindirError as error:
            raise call.error(f"cannot be imported: {error}") from None
        result = self._call(call) if operator.startswith(FUNCTION_PREFIX) else self._run(call)
        _check_declared(call, result)
        return result

    def _owner(self, arguments: list[Imported]) -> str | None:
        """The Cell whose traced parameters a node reads. MindSpore's scopes can't tell: Cells that compile to the same
        graph, such as norms of one size, all get the scope of the first.
        """
        makers = [self._builder.producer(item) for item in arguments if isinstance(item, Value)]
        names = [str(maker.attributes["name"]) for maker in makers if maker is not None and maker.operator == "weight"]
        owners = {name.rpartition(".")[0] for name in names if isinstance(self._scope.weights[name], TracedWeight)}
        return owners.pop() if len(owners) == 1 else None

    def _run(self, call: PrimitiveCall) -> Imported:
        importer = find_importer(call)
        try:
            return importer(call)
        except GraphError as error:
            raise call.error(f"cannot be imported: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Importers take the file at its word: what a damaged one says can fail at any conversion or index.
            raise call.error(f"has inputs that don't fit each other ({error}); export the file again") from error

    def _call(self, call: PrimitiveCall) -> Imported:
        name = call.operator.removeprefix(FUNCTION_PREFIX)
        function = self._scope.functions.get(name)
        if function is None:
            raise MindirError(f"{self._proto.name} calls {name}, which the file doesn't have; export the file again")
        values = [call.tensor(index) for index in range(len(call.arguments))]
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


def passes_of(node: Any) -> tuple[str, ...]:
    """The passes that `emission` noted on a node of a file."""
    notes = [attribute.s for attribute in node.primal_attr if attribute.name == PASSES]
    if not notes:
        return ()
    names = notes[0].decode("utf-8", "replace").split(",")
    if len(notes) > 1 or not all(name and name.isprintable() for name in names):
        raise MindirError(f"node {node.name} has a damaged note {PASSES}; export the file again")
    return tuple(names)


def _declared(shape: Any) -> tuple[TensorType | None, ...] | None:
    """The types a node declares for its outputs, or None where it says nothing."""
    kind = schema().AttributeProto
    if shape is not None and shape.type == kind.TENSORS:
        return tuple(tensor_type(tensor.dims, tensor.data_type) for tensor in shape.tensors)
    if shape is not None and shape.type == kind.TUPLE:
        return tuple(_declared_item(item) for item in shape.values)
    return None


def _declared_item(item: Any) -> TensorType | None:
    if item.type != schema().AttributeProto.TENSORS or len(item.tensors) != 1:
        return None
    return tensor_type(item.tensors[0].dims, item.tensors[0].data_type)


def _check_declared(call: PrimitiveCall, result: Imported) -> None:
    """What the file says of a node's outputs must hold, as far as it says something."""
    results = result if isinstance(result, tuple) else (result,)
    for value, declared in zip(results, call.declared or (), strict=False):
        if isinstance(value, Value) and declared is not None and value.type != declared:
            raise call.error(f"is declared to give {declared}, but gives {value.type}; export the file again")
