"""How a canonical node becomes MindIR nodes: the emitter that rules write with, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Node
from coopdraw.graphs.mindir.codes import TENSOR_CODES
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.node_view import NodeView
from coopdraw.graphs.registry import Registry
from coopdraw.graphs.types import DType, TensorType

Scalar: TypeAlias = "bool | int | float | tuple[int, ...]"
Rule: TypeAlias = "Callable[[NodeEmitter], Sequence[str]]"

PASSES = "coopdraw_passes"
"""The note on a node that says which passes made or changed it. MindSpore keeps notes of other names than its own as
they are; what is in `attribute` would go into the primitive, which nodes share."""


class ModelWriter:
    """A ModelProto in the making: primitives are shared, and names of nodes are unique over all functions."""

    def __init__(self) -> None:
        self.model = schema().ModelProto()
        self._primitives: dict[tuple[str, tuple[tuple[str, Scalar | str], ...]], str] = {}
        self._counter = 0

    def fresh_name(self, wish: str) -> str:
        self._counter += 1
        return f"{wish}:{self._counter}"

    def primitive(self, operator: str, attributes: Mapping[str, Scalar | str]) -> str:
        """The `op_type` of a node that runs primitive `operator` with these attributes."""
        key = (operator, tuple(sorted(attributes.items())))
        if key not in self._primitives:
            proto = self.model.primitives.add()
            # MindSpore looks nodes and primitives up in one table: `:` is in names of nodes only.
            proto.name = f"{operator}.{len(self._primitives)}"
            proto.op_type = operator
            proto.prim_type = (
                schema().PrimitiveProto.PRIMITIVE_FUNCTION if not attributes else schema().PrimitiveProto.PRIMITIVE
            )
            for name, value in key[1]:
                set_attribute(proto.attribute.add(), name, value)
            self._primitives[key] = f"REF::{proto.name}"
        return self._primitives[key]


class NodeEmitter(NodeView):
    """What an emission rule sees: the node, the MindIR names of its inputs, and ways to add MindIR nodes."""

    def __init__(self, writer: ModelWriter, graph: Any, node: Node, inputs: Sequence[str]) -> None:
        self._writer = writer
        self._graph = graph
        super().__init__(node, inputs)

    def constant(self, value: Scalar | np.ndarray) -> str:
        """A Constant node: a scalar, a tuple of integers or a tensor."""
        proto = self._graph.node.add()
        name = self._writer.fresh_name("constant")
        proto.output.append(name)
        proto.name = name
        proto.op_type = "Constant"
        attribute = proto.attribute.add()
        if isinstance(value, np.ndarray):
            attribute.name = "value"
            attribute.type = schema().AttributeProto.TENSORS
            tensor = attribute.tensors.add()
            tensor.name = "value0"
            describe(tensor, TensorType.of(value))
            tensor.raw_data = np.ascontiguousarray(value).tobytes()
        else:
            set_attribute(attribute, "value", value)
        if self.node.operator == "constant":
            self._note_passes(proto)
        return name

    def scalar(self, value: float, dtype: DType) -> str:
        """A 0-d tensor constant."""
        return self.constant(np.asarray(value, dtype.numpy))

    def add(self, primitive: str, *inputs: str, type: TensorType | None = None, **attributes: Scalar | str) -> str:
        """A node with one output; `type` is the first output's type unless given."""
        proto = self._node(self._writer.primitive(primitive, attributes), primitive, inputs)
        shape = proto.attribute.add()
        shape.name = "shape"
        shape.type = schema().AttributeProto.TENSORS
        describe(shape.tensors.add(), type or self.result)
        return str(proto.output[0])

    def add_tuple(self, primitive: str, *inputs: str, types: Sequence[TensorType], **attributes: Scalar | str) -> str:
        """A node whose output is a tuple; `item` takes it apart."""
        return self._tuple_node(self._writer.primitive(primitive, attributes), primitive, inputs, types)

    def call(self, function: str, inputs: Sequence[str], types: Sequence[TensorType]) -> list[str]:
        """A call; several results come as a tuple and are taken apart."""
        if len(types) == 1:
            proto = self._node(f"REF::{function}", function, inputs)
            return [str(proto.output[0])]
        whole = self._tuple_node(f"REF::{function}", function, inputs, types)
        return [self.item(whole, index, type) for index, type in enumerate(types)]

    def item(self, whole: str, index: int, type: TensorType) -> str:
        return self.add("TupleGetItem", whole, self.constant(index), type=type)

    def _tuple_node(self, op_type: str, label: str, inputs: Sequence[str], types: Sequence[TensorType]) -> str:
        proto = self._node(op_type, label, inputs)
        shape = proto.attribute.add()
        shape.name = "shape"
        shape.type = schema().AttributeProto.TUPLE
        shape.seq_info.is_dyn_len = False
        for type in types:
            item = shape.values.add()
            item.type = schema().AttributeProto.TENSORS
            describe(item.tensors.add(), type)
        return str(proto.output[0])

    def _node(self, op_type: str, label: str, inputs: Sequence[str]) -> Any:
        proto = self._graph.node.add()
        name = self._writer.fresh_name(label)
        proto.input.extend(inputs)
        proto.output.append(name)
        proto.name = name
        proto.op_type = op_type
        proto.domain = scope_of(self.node.source, label)
        self._note_passes(proto)
        return proto

    def _note_passes(self, proto: Any) -> None:
        if self.node.passes:
            set_attribute(proto.primal_attr.add(), PASSES, ",".join(self.node.passes))


def scope_of(source: str, label: str) -> str:
    """The inverse of `graph_reader.source_of`: Cell `blocks.1` is scope `Default/blocks-Cell/1-Cell/<label>-op`."""
    cells = "".join(f"{part}-Cell/" for part in source.split(".")) if source else ""
    return f"Default/{cells}{label}-op"


def describe(tensor: Any, type: TensorType) -> None:
    """Writes dims and element type into a TensorProto."""
    tensor.dims.extend(type.shape)
    tensor.data_type = TENSOR_CODES[type.dtype]


def set_attribute(attribute: Any, name: str, value: Scalar | str) -> None:
    """Fills an AttributeProto with a scalar, a string or a tuple of integers."""
    kind = schema().AttributeProto
    attribute.name = name
    if isinstance(value, bool):
        attribute.type, attribute.i = kind.BOOL, int(value)
    elif isinstance(value, int):
        attribute.type, attribute.i = kind.INT64, value
    elif isinstance(value, float):
        attribute.type, attribute.f = kind.FLOAT, value
    elif isinstance(value, str):
        attribute.type, attribute.s = kind.STRING, value.encode()
    else:
        attribute.type = kind.TUPLE
        for item in value:
            element = attribute.values.add()
            element.type = kind.INT64
            element.ints.append(item)


rule = Registry[Rule]("a MindIR emission rule")


def find_rule(node: Node) -> Rule:
    """The rule for a node; raises MindirError that names the node if there is none."""
    found = rule.find(node.operator)
    if found is None:
        raise MindirError(f"{node.where()} has no MindSpore form; add a rule under graphs/mindir/emitters")
    return found


def emitted_operators() -> tuple[str, ...]:
    return rule.names()
