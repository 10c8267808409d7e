"""What an operator's definition says about its CPU kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType


@dataclass(frozen=True)
class CpuKernel:
    """The CPU kernel of one fused operator: a C function of the library that `cpu/entry.h` describes.

    `attributes` gives the numbers that the function gets behind the node's inputs, in the order its source states.
    """

    operator: str
    symbol: str
    attributes: Callable[[Node], tuple[float, ...]]

    def refusal(self, node: Node) -> str | None:
        """Why the kernel can't compute the node, as a clause; None if it can."""
        for value in (*node.inputs, *node.outputs):
            if value.type.dtype is not DType.FLOAT32:
                return f"the CPU kernel {self.symbol} takes float32 only, but %{value.name} is {value.type}"
        return None

    def arguments(self, node: Node) -> np.ndarray:
        """The float64 vector that the function gets behind the node's inputs."""
        return np.array(self.attributes(node), np.float64)
