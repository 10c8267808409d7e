"""Convolution of images: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """stride (h, w), padding (top, bottom, left, right), dilation (h, w)."""
    stride, padding, dilation = (node.attributes[name] for name in ("stride", "padding", "dilation"))
    return tuple(float(number) for number in (*stride, *padding, *dilation))  # type: ignore[misc]


def _cpu_limits(node: Node) -> str | None:
    groups = node.attributes["groups"]
    return None if groups == 1 else f"the CPU kernel coopdraw_conv2d has one group, not {groups}"


CPU = CpuKernel("conv2d", "coopdraw_conv2d", _cpu_attributes, _cpu_limits)
