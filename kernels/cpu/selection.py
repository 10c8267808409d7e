"""Which CPU kernel computes a node."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.mindir.custom import CustomKernel
from coopdraw.kernels.attention import definition as attention
from coopdraw.kernels.bias_activation import definition as bias_activation
from coopdraw.kernels.conv2d import definition as conv2d
from coopdraw.kernels.cpu.kernel import CpuKernel
from coopdraw.kernels.geglu import definition as geglu
from coopdraw.kernels.group_norm import definition as group_norm
from coopdraw.kernels.layer_norm import definition as layer_norm
from coopdraw.kernels.linear import definition as linear
from coopdraw.kernels.linear_combination import definition as linear_combination
from coopdraw.runtime.kernel_build import LIBRARY

CPU_KERNELS: dict[str, CpuKernel] = {
    kernel.operator: kernel
    for kernel in (
        attention.CPU,
        bias_activation.CPU,
        conv2d.CPU,
        geglu.CPU,
        group_norm.CPU,
        layer_norm.CPU,
        linear.CPU,
        linear.CPU_MATMUL,
        linear_combination.CPU,
    )
}
"""The kernels by operator."""


def cpu_kernel(node: Node) -> CustomKernel | None:
    """The kernel for a node; None if there is none, which `cpu_refusal` explains."""
    if cpu_refusal(node) is not None:
        return None
    kernel = CPU_KERNELS[node.operator]
    return CustomKernel(LIBRARY.as_posix(), kernel.symbol, kernel.arguments(node))


def cpu_refusal(node: Node) -> str | None:
    """Why no CPU kernel computes the node, as a clause; None if one does."""
    kernel = CPU_KERNELS.get(node.operator)
    return kernel.refusal(node) if kernel else f"there is no CPU kernel for {node.operator}"
