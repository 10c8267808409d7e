"""Runs a module in NumPy, node by node: the device-free oracle for passes and emitters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.errors import GraphError, WeightError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.types import TensorType

Observer: TypeAlias = Callable[[Graph, Node, Sequence[np.ndarray]], None]
"""Called after each node with its graph, the node and its output arrays; not called for `weight` nodes."""
Arithmetic: TypeAlias = Callable[[Graph, Node, Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Computes a node (neither weight nor call) from arrays for its inputs."""


def run(
    module: Module,
    inputs: Mapping[str, np.ndarray],
    function: str | None = None,
    observer: Observer | None = None,
    arithmetic: Arithmetic | None = None,
) -> dict[str, np.ndarray]:
    """Runs the entry graph, or the function of that name, of a module that `verify` accepts.

    `inputs` are by input name and must have exactly the declared dtypes and shapes. Outputs are by output name; they
    may share memory with inputs and weights. A value is dropped after its last use, and a weight is read for each use.
    `arithmetic` computes the nodes in place of their references. Raises GraphError for wrong inputs and for operands a
    node can't take.
    """
    if function is None:
        graph = module.entry
    elif function in module.functions:
        graph = module.functions[function]
    else:
        known = ", ".join(sorted(module.functions)) or "none"
        raise GraphError(f"the module has no function {function}; use one of its functions: {known}")
    arrays = _check_inputs(graph, inputs)
    results = _run_graph(module, graph, arrays, observer, arithmetic or _reference)
    return dict(zip(graph.output_names, results, strict=True))


def evaluate_node(node: Node, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The outputs of one node (neither weight nor call) from arrays for its inputs, such as for folding constants."""
    try:
        results = evaluate(node.operator, operands, node.attributes)
    except GraphError as error:
        raise GraphError(f"{node.where()}: {error}") from None
    for value, array in zip(node.outputs, results, strict=True):
        given = TensorType.of(array)
        if given != value.type:
            raise GraphError(f"{node.where()}: declared {value.type}, but evaluated to {given}; verify the module")
    return results


def _reference(graph: Graph, node: Node, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return evaluate_node(node, operands)


def _check_inputs(graph: Graph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    wanted = {value.name for value in graph.inputs}
    if wanted != set(inputs):
        missing, unknown = sorted(wanted - set(inputs)), sorted(set(inputs) - wanted)
        raise GraphError(f"graph {graph.name}: inputs {missing} are missing and {unknown} are unknown; fix their names")
    arrays = [np.asarray(inputs[value.name]) for value in graph.inputs]
    for value, array in zip(graph.inputs, arrays, strict=True):
        given = TensorType.of(array)
        if given != value.type:
            raise GraphError(f"graph {graph.name}: input {value.name} must be {value.type}, but is {given}; convert it")
    return arrays


def _run_graph(
    module: Module,
    graph: Graph,
    inputs: Sequence[np.ndarray],
    observer: Observer | None,
    arithmetic: Arithmetic,
) -> tuple[np.ndarray, ...]:
    arrays: dict[Value, np.ndarray] = dict(zip(graph.inputs, inputs, strict=True))
    weights = {node.output: str(node.attributes["name"]) for node in graph.nodes if node.operator == "weight"}
    last_use = {value: node for node in graph.nodes for value in node.inputs}
    kept = set(graph.outputs)

    def operand(value: Value) -> np.ndarray:
        return _read_weight(module, weights[value]) if value in weights else arrays[value]

    for node in graph.nodes:
        if node.operator == "weight":
            continue
        operands = [operand(value) for value in node.inputs]
        if node.operator == "call":
            function = module.functions[str(node.attributes["function"])]
            results = _run_graph(module, function, operands, observer, arithmetic)
        else:
            results = tuple(arithmetic(graph, node, operands))
        del operands
        if observer is not None:
            observer(graph, node, results)
        arrays.update(zip(node.outputs, results, strict=True))
        for value in (*node.inputs, *node.outputs):
            if last_use.get(value, node) is node and value not in kept:
                arrays.pop(value, None)
    return tuple(operand(value) for value in graph.outputs)


def _read_weight(module: Module, name: str) -> np.ndarray:
    weight = module.weights[name]
    array = weight.read()
    if TensorType.of(array) != weight.type:
        raise WeightError(
            f"weight {name} is declared {weight.type}, but was read as {TensorType.of(array)}; fix its source"
        )
    return array
