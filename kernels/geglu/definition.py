"""The gated GELU: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.geglu import APPROXIMATIONS, GATES
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """approximate, gate."""
    approximate, gate = str(node.attributes["approximate"]), str(node.attributes["gate"])
    return float(APPROXIMATIONS.index(approximate)), float(GATES.index(gate))


CPU = CpuKernel("geglu", "coopdraw_geglu", _cpu_attributes)
