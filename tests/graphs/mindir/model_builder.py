"""Builds MindIR protobufs node by node, sound or not, and a file that has something of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from graphs.mindir.operator_cases import module_cases, operator_cases

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.emission import describe
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import TensorType


def sound_module() -> Module:
    """Weights, calls, and a function for each operator that is written with constants or several results."""
    module, _ = module_cases()["calls"]
    chosen = ("split", "slice", "resize", "conv2d", "reduce_mean", "pad", "gather", "group_norm", "softmax", "cast")
    found = {case.operator: case.module().entry for case in operator_cases() if case.operator in chosen}
    assert set(found) == set(chosen)
    extra = {name: replace(graph, name=name) for name, graph in found.items()}
    return replace(module, functions={**module.functions, **extra})


def write_sound_file(folder: Path) -> Path:
    """`graph.mindir`, whose weights lie in `graph_variables/data_0`."""
    path = folder / "graph.mindir"
    write_mindir(sound_module(), path)
    return path


class ModelBuilder:
    """A ModelProto with inputs `x0`, `x1` ... of the given types."""

    def __init__(self, inputs: Sequence[TensorType]) -> None:
        self.model = schema().ModelProto(producer_name="MindSpore")
        self.model.graph.name = "main"
        for index, type in enumerate(inputs):
            entry = self.model.graph.input.add()
            entry.name = f"x{index}"
            describe(entry.tensor.add(), type)

    def node(self, name: str, operator: str, inputs: Sequence[str]) -> str:
        self.model.graph.node.add(op_type=operator, input=inputs, output=[name])
        return name

    def constant(self, value: object) -> str:
        name = f"c{len(self.model.graph.node)}"
        node = self.model.graph.node.add(op_type="Constant", output=[name])
        fill(node.attribute.add(name="value"), value)
        return name

    def output(self, name: str) -> None:
        self.model.graph.output.add(name=name)


def fill(attribute: Any, value: object) -> None:
    """Writes any value that MindIR can hold into an AttributeProto, sensible or not."""
    kind = schema().AttributeProto
    match value:
        case None:
            attribute.type = kind.NONE
        case bool():
            attribute.type, attribute.i = kind.BOOL, int(value)
        case int():
            attribute.type, attribute.i = kind.INT64, value
        case float():
            attribute.type, attribute.f = kind.FLOAT, value
        case str():
            attribute.type, attribute.s = kind.STRING, value.encode()
        case tuple():
            attribute.type = kind.TUPLE
            for item in value:
                fill(attribute.values.add(), item)
        case np.ndarray():
            attribute.type = kind.TENSORS
            tensor = attribute.tensors.add()
            describe(tensor, TensorType.of(value))
            tensor.raw_data = value.tobytes()


def declare(node: Any, declared: TensorType | list[TensorType] | None) -> None:
    """Says what a node gives: a tensor, a tuple of them, or nothing."""
    if declared is None:
        return
    attribute = node.attribute.add(name="shape")
    if isinstance(declared, TensorType):
        attribute.type = schema().AttributeProto.TENSORS
        describe(attribute.tensors.add(), declared)
        return
    attribute.type = schema().AttributeProto.TUPLE
    for type in declared:
        item = attribute.values.add(type=schema().AttributeProto.TENSORS)
        describe(item.tensors.add(), type)
