"""How a canonical node becomes nodes that MindSpore Lite 2.0.0 takes: the emitter and the registry of rules."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, TypeAlias

import numpy as np

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Node
from coopdraw.graphs.mindir.emission import ModelWriter, NodeEmitter
from coopdraw.graphs.registry import Registry
from coopdraw.graphs.types import DType, TensorType

LiteRule: TypeAlias = "Callable[[LiteEmitter], Sequence[str]]"

DTYPES = frozenset({DType.FLOAT32, DType.INT32, DType.BOOL})
"""Element types that Lite's CPU kernels compute in."""


class LiteEmitter(NodeEmitter):
    """A NodeEmitter for Lite, which tells nodes apart by their scope and has no tensors of rank 0."""

    def __init__(
        self, writer: ModelWriter, graph: Any, node: Node, inputs: Sequence[str], stored: Container[str]
    ) -> None:
        super().__init__(writer, graph, node, inputs)
        self._stored = stored

    def is_stored(self, name: str) -> bool:
        """Whether an input is a weight or a constant."""
        return name in self._stored

    @property
    def result(self) -> TensorType:
        return lite_type(super().result)

    def operand(self, index: int) -> TensorType:
        """Type of an input."""
        return lite_type(self.node.inputs[index].type)

    def scalar(self, value: float, dtype: DType) -> str:
        """A constant of one element."""
        return self.constant(np.asarray([value], dtype.numpy))

    def reshape(self, name: str, shape: tuple[int, ...], dtype: DType | None = None) -> str:
        type = TensorType(dtype or self.result.dtype, shape)
        return self.add("Reshape", name, self.constant(shape), type=type)

    def transpose(self, name: str, permutation: tuple[int, ...], type: TensorType) -> str:
        return self.add("Transpose", name, self.constant(permutation), type=type)

    def fail(self, reason: str, fix: str) -> MindirError:
        """The error of a node that Lite cannot compute."""
        return MindirError(f"{self.node.where()} has no form for MindSpore Lite: {reason}; {fix}")

    def _node(self, op_type: str, label: str, inputs: Sequence[str]) -> Any:
        proto = super()._node(op_type, label, inputs)
        proto.domain += str(len(self._graph.node))
        return proto


def lite_type(type: TensorType) -> TensorType:
    """What Lite has for a type: a tensor of rank 0 is one of one element."""
    return type if type.shape else TensorType(type.dtype, (1,))


lite_rule = Registry[LiteRule]("an emission rule for MindSpore Lite")


def find_lite_rule(node: Node) -> LiteRule:
    """The rule for a node; raises MindirError that names the node where operator or element type has no Lite form."""
    for value in (*node.inputs, *node.outputs):
        if value.type.dtype not in DTYPES:
            raise MindirError(
                f"{node.where()} has no form for MindSpore Lite, whose CPU kernels don't compute in "
                f"{value.type.dtype}; compile it in float32 and with int32 indices"
            )
    found = lite_rule.find(node.operator)
    if found is None:
        raise MindirError(
            f"{node.where()} has no form for MindSpore Lite; "
            "add a rule under graphs/mindir/lite/emitters or leave lite out of target.forms"
        )
    return found


def lite_operators() -> tuple[str, ...]:
    return lite_rule.names()
