"""What writers of every form ask of a node."""

from __future__ import annotations

from collections.abc import Sequence

from coopdraw.graphs.ir import Node, Value
from coopdraw.graphs.types import TensorType


class NodeView:
    """A node with what its inputs are called in the file that is written; its attributes by type."""

    def __init__(self, node: Node, inputs: Sequence[str]) -> None:
        self.node = node
        self.inputs = tuple(inputs)

    @property
    def operands(self) -> tuple[Value, ...]:
        return self.node.inputs

    @property
    def result(self) -> TensorType:
        """Type of the first output."""
        return self.node.outputs[0].type

    def integer(self, name: str) -> int:
        return int(self.node.attributes[name])  # type: ignore[arg-type]

    def number(self, name: str) -> float:
        return float(self.node.attributes[name])  # type: ignore[arg-type]

    def integers(self, name: str) -> tuple[int, ...]:
        return tuple(self.node.attributes[name])  # type: ignore[arg-type]
