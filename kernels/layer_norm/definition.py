"""Layer normalisation of a sum: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """epsilon, keep_sum."""
    return float(node.attributes["epsilon"]), float(bool(node.attributes["keep_sum"]))  # type: ignore[arg-type]


CPU = CpuKernel("fused_layer_norm", "coopdraw_fused_layer_norm", _cpu_attributes)
