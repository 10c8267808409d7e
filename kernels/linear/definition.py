"""Dense layers: what their kernels get."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.cpu.kernel import CpuKernel


def _cpu_attributes(node: Node) -> tuple[float, ...]:
    """None."""
    return ()


def _matmul_limits(node: Node) -> str | None:
    """A product with a matrix as a dense layer has it is one without bias."""
    attributes, matrix = node.attributes, node.inputs[1].type
    if attributes["transpose_a"] or not attributes["transpose_b"] or len(matrix.shape) != 2:
        return f"the CPU kernel coopdraw_linear takes a transposed matrix as b and a as it is, but b is {matrix}"
    return None


CPU = CpuKernel("linear", "coopdraw_linear", _cpu_attributes)
CPU_MATMUL = CpuKernel("matmul", "coopdraw_linear", _cpu_attributes, _matmul_limits)
