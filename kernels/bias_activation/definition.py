"""A bias and an activation: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.cpu.kernel import CpuKernel

ACTIVATIONS = ("none", "silu", "gelu", "gelu_tanh", "relu")
"""In the order of their numbers in the kernel."""


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """axis, activation."""
    axis, activation = node.attributes["axis"], str(node.attributes["activation"])
    return float(axis), float(ACTIVATIONS.index(activation))  # type: ignore[arg-type]


CPU = CpuKernel("bias_activation", "coopdraw_bias_activation", _cpu_attributes)
