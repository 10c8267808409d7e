"""What an operator's definition says about its CPU kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType


@dataclass(frozen=True)
class CpuKernel:
    """The CPU kernel of one operator: a C function of the library that `cpu/entry.h` describes.

    `attributes` gives the numbers that the function gets behind the node's inputs, in the order its source states.
    `limits` says why a float32 node is none for the kernel, as a clause; None if it is one.
    """

    operator: str
    symbol: str
    attributes: Callable[[Node], tuple[float, ...]]
    limits: Callable[[Node], str | None] = lambda node: None

    def refusal(self, node: Node) -> str | None:
        """Why the kernel can't compute the node, as a clause; None if it can."""
        for value in (*node.inputs, *node.outputs):
            if value.type.dtype is not DType.FLOAT32:
                return f"the CPU kernel {self.symbol} takes float32 only, but %{value.name} is {value.type}"
        return self.limits(node)

    def arguments(self, node: Node) -> np.ndarray:
        """The float64 vector that the function gets behind the inputs; a 0 if it has none: no tensor is empty."""
        return np.array(self.attributes(node) or (0.0,), np.float64)
