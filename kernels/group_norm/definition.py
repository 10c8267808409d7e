"""Group normalisation and what stands around it: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.group_norm import ACTIVATIONS, ADDS
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """groups, epsilon, activation, add, modulated, keep_sum."""
    attributes = node.attributes
    return (
        float(attributes["groups"]),  # type: ignore[arg-type]
        float(attributes["epsilon"]),  # type: ignore[arg-type]
        float(ACTIVATIONS.index(str(attributes["activation"]))),
        float(ADDS.index(str(attributes["add"]))),
        float(bool(attributes["modulated"])),
        float(bool(attributes["keep_sum"])),
    )


CPU = CpuKernel("fused_group_norm", "coopdraw_fused_group_norm", _cpu_attributes)
