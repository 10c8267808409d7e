"""Checks that a module keeps every rule of the IR: structure, types, shapes, attributes, weights and calls."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.ops import infer, lookup
from coopdraw.graphs.types import DType, TensorType


def verify(module: Module) -> None:
    """Returns if the module is valid; raises GraphError that names the graph, the node and the fix if it isn't."""
    _verify_function_names(module)
    for name, weight in module.weights.items():
        _verify_type(weight.type, f"weight {name}")
    for graph in module.graphs():
        _verify_graph(module, graph)
    _verify_no_recursion(module)


def _verify_function_names(module: Module) -> None:
    for key, graph in module.functions.items():
        if key != graph.name:
            raise GraphError(f"the module lists graph {graph.name} as function {key}; use the graph's name as the key")
    if module.entry.name in module.functions:
        raise GraphError(f"entry and a function are both named {module.entry.name}; rename one")


def _verify_graph(module: Module, graph: Graph) -> None:
    defined: set[Value] = set()
    names: set[str] = set()
    for value in graph.inputs:
        _define(value, f"graph {graph.name}, input %{value.name}", defined, names)
    for node in graph.nodes:
        place = f"graph {graph.name}, {node.where()}"
        for value in node.inputs:
            if value not in defined:
                raise GraphError(f"{place}: %{value.name} isn't defined before it; define it earlier in this graph")
        _verify_output_types(module, node, place)
        for value in node.outputs:
            _define(value, place, defined, names)
    _verify_outputs(graph, defined)


def _define(value: Value, place: str, defined: set[Value], names: set[str]) -> None:
    if value in defined:
        raise GraphError(f"{place}: value %{value.name} is defined twice; make a new Value for each definition")
    if value.name in names:
        raise GraphError(f"{place}: another value is named %{value.name} too; rename one")
    _verify_type(value.type, f"{place}: %{value.name}")
    defined.add(value)
    names.add(value.name)


def _verify_type(type: TensorType, place: str) -> None:
    if not isinstance(type.dtype, DType):
        raise GraphError(f"{place}: element type {type.dtype!r} isn't a DType; use one of {', '.join(DType)}")
    if not isinstance(type.shape, tuple) or not all(isinstance(extent, int) and extent >= 1 for extent in type.shape):
        raise GraphError(f"{place}: shape {type.shape!r} isn't static; use a tuple of positive integers")


def _verify_output_types(module: Module, node: Node, place: str) -> None:
    try:
        types = _output_types(module, node)
    except GraphError as error:
        raise GraphError(f"{place}: {error}") from None
    if len(types) != len(node.outputs):
        raise GraphError(f"{place}: it has {len(node.outputs)} outputs, but must have {len(types)}; fix the node")
    for value, type in zip(node.outputs, types, strict=True):
        if value.type != type:
            raise GraphError(f"{place}: %{value.name} is declared {value.type}, but is {type}; fix the declared type")


def _output_types(module: Module, node: Node) -> Sequence[TensorType]:
    if node.operator == "weight":
        return (_weight_type(module, node),)
    if node.operator == "call":
        return _call_types(module, node)
    return infer(node.operator, [value.type for value in node.inputs], node.attributes)


def _string_attribute(node: Node, key: str) -> str:
    """The only attribute of a weight or call, whose types the operator table can't infer."""
    value = node.attributes.get(key)
    if set(node.attributes) != set(lookup(node.operator).attributes) or not isinstance(value, str):
        raise GraphError(f"its attributes are {dict(node.attributes)}, but must be a string named {key}")
    return value


def _weight_type(module: Module, node: Node) -> TensorType:
    name = _string_attribute(node, "name")
    if node.inputs:
        raise GraphError("a weight node takes no inputs; remove them")
    if name not in module.weights:
        raise GraphError(f"the module has no weight {name}; add it or fix the name")
    return module.weights[name].type


def _call_types(module: Module, node: Node) -> Sequence[TensorType]:
    name = _string_attribute(node, "function")
    if name not in module.functions:
        raise GraphError(f"the module has no function {name}; add it or fix the name")
    function = module.functions[name]
    if len(function.inputs) != len(node.inputs):
        raise GraphError(f"function {name} takes {len(function.inputs)} inputs, but gets {len(node.inputs)}")
    for parameter, value in zip(function.inputs, node.inputs, strict=True):
        if parameter.type != value.type:
            raise GraphError(
                f"input {parameter.name} of function {name} is {parameter.type}, but %{value.name} is {value.type}; "
                "cast or reshape the argument"
            )
    return tuple(value.type for value in function.outputs)


def _verify_outputs(graph: Graph, defined: set[Value]) -> None:
    if not graph.outputs:
        raise GraphError(f"graph {graph.name} has no outputs; return at least one value")
    for value in graph.outputs:
        if value not in defined:
            raise GraphError(
                f"graph {graph.name} returns %{value.name}, which it doesn't define; return its own values"
            )
    if len(graph.output_names) != len(graph.outputs):
        raise GraphError(
            f"graph {graph.name} has {len(graph.outputs)} outputs, but {len(graph.output_names)} output names; "
            "give each output a name"
        )
    if len(set(graph.output_names)) != len(graph.output_names):
        raise GraphError(f"graph {graph.name} has output names {list(graph.output_names)}, but they must be unique")


def _verify_no_recursion(module: Module) -> None:
    calls = {name: graph.called_functions() for name, graph in module.functions.items()}
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise GraphError(f"functions call each other in a circle: {cycle}; remove one of the calls") from None
