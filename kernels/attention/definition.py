"""Attention: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.attention import LAYOUTS
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """heads, scale, layout."""
    heads, scale, layout = (node.attributes[name] for name in ("heads", "scale", "layout"))
    return float(heads), float(scale), float(LAYOUTS.index(str(layout)))  # type: ignore[arg-type]


CPU = CpuKernel("attention", "coopdraw_attention", _cpu_attributes)
