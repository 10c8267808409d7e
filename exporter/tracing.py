"""Traces a Cell into the IR without allocating its weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.mindir.reader import module_from_model
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import Weight

if TYPE_CHECKING:
    from mindspore import nn


def trace(
    cell: nn.Cell,
    name: str,
    inputs: Mapping[str, TensorType],
    outputs: Sequence[str],
    weights: Mapping[str, Weight] | None = None,
    owner: str | None = None,
) -> Module:
    """The Module of `cell` with its entry graph named `name`.

    `inputs` are in the order of `construct`'s parameters and name the graph's inputs; `outputs` name its results.
    Weights get the prefix `<owner>.` (`<name>.` without one); those of `weights` (names without prefix) are bound,
    others stay without bytes.
    Raises MindirError when the Cell can't be traced or uses a primitive the IR doesn't know.
    """
    module = module_from_model(_front_end(cell, name, inputs))
    prefix = owner or name
    names = _function_names(module, name)
    functions = {names[graph.name]: _owned(graph, names, prefix) for graph in module.functions.values()}
    graph = _renamed(_owned(module.entry, names, prefix), name, list(inputs), outputs)
    bound = {f"{prefix}.{key}": _bound(key, weight, weights or {}, name) for key, weight in module.weights.items()}
    return Module(graph, functions, bound)


def _bound(key: str, declared: Weight, weights: Mapping[str, Weight], name: str) -> Weight:
    weight = weights.get(key, declared)
    if weight.type != declared.type:
        raise MindirError(
            f"{name}: the Cell declares the parameter {key} as {declared.type}, but its weight is {weight.type}; "
            "make them equal"
        )
    return weight


def _function_names(module: Module, name: str) -> dict[str, str]:
    """Names for the functions inside, in the order of their calls: MindSpore's own have counters of the process."""
    found: dict[str, str] = {}
    waiting = [module.entry]
    while waiting:
        for function in waiting.pop(0).called_functions():
            if function not in found:
                found[function] = f"{name}.{len(found)}"
                waiting.append(module.functions[function])
    return found


def _owned(graph: Graph, names: Mapping[str, str], owner: str) -> Graph:
    """The graph with its function names and with `owner` before the names of its weights."""
    nodes = []
    for node in graph.nodes:
        if node.operator == "weight":
            node = replace(node, attributes={"name": f"{owner}.{node.attributes['name']}"})
        elif node.operator == "call":
            node = replace(node, attributes={"function": names[str(node.attributes["function"])]})
        nodes.append(node)
    return replace(graph, name=names.get(graph.name, graph.name), nodes=tuple(nodes))


def _front_end(cell: nn.Cell, name: str, inputs: Mapping[str, TensorType]) -> Any:
    """MindSpore's own graph of the Cell, as a ModelProto without parameter data (needs only the front end)."""
    from mindspore import Tensor
    from mindspore.graph.api import _cell_graph_executor

    arguments = [Tensor(np.zeros(type.shape, type.dtype.numpy)) for type in inputs.values()]
    cell.set_train(False)
    try:
        with _parameters_stay_empty(), _dumps_elsewhere():
            graph_id, _ = _cell_graph_executor.compile(cell, *arguments, phase="export.mindir", do_convert=False)
        content = _cell_graph_executor._get_func_graph_proto(cell, graph_id, "mind_ir", incremental=False)
    except Exception as error:
        # The Cell's own code runs here, and MindSpore's front end: both can raise anything.
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
        told = f"{type(error).__name__}: {reason}"
        raise MindirError(f"{name}: MindSpore can't trace {type(cell).__name__} ({told}); see --debug") from error
    model = schema().ModelProto()
    model.ParseFromString(content)
    return model


@contextmanager
def _parameters_stay_empty() -> Iterator[None]:
    """Keeps `compile` from materialising parameters that were made under `no_init_parameters`."""
    from mindspore.common.parameter import Parameter

    stock = Parameter.init_data
    Parameter.init_data = lambda self, *arguments, **options: self
    try:
        yield
    finally:
        Parameter.init_data = stock


@contextmanager
def _dumps_elsewhere() -> Iterator[None]:
    """Keeps MindSpore's dump of a failed trace (`rank_0/om/analyze_fail.ir`) out of the working folder."""
    before = os.environ.get("MS_OM_PATH")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MS_OM_PATH"] = before or folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["MS_OM_PATH"]


def _renamed(graph: Graph, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
    """Graph, inputs and outputs under the names the caller wants."""
    if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(outputs):
        raise MindirError(
            f"{name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, but {len(inputs)} and "
            f"{len(outputs)} are expected; check the Cell's construct"
        )
    taken = set(inputs)
    swaps = {old: Value(new, old.type) for old, new in zip(graph.inputs, inputs, strict=True)}
    nodes: list[Node] = []
    for node in graph.nodes:
        for value in node.outputs:
            if value.name in taken:
                swaps[value] = Value(f"{value.name}.value", value.type)
        given = tuple(swaps.get(value, value) for value in node.inputs)
        made = tuple(swaps.get(value, value) for value in node.outputs)
        nodes.append(replace(node, inputs=given, outputs=made))
    results = tuple(swaps.get(value, value) for value in graph.outputs)
    return Graph(name, tuple(swaps[value] for value in graph.inputs), tuple(nodes), results, tuple(outputs))
