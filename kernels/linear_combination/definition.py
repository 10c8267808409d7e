"""A weighted sum of tensors: what its kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """The weights."""
    return tuple(float(weight) for weight in node.attributes["weights"])  # type: ignore[union-attr]


CPU = CpuKernel("linear_combination", "coopdraw_linear_combination", _cpu_attributes)
