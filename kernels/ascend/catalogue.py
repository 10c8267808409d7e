"""Our Ascend kernels by canonical operator."""

from __future__ import annotations

from coopdraw.kernels.ascend.kernel import AscendKernel
from coopdraw.kernels.attention import ascend as attention
from coopdraw.kernels.group_norm import ascend as group_norm
from coopdraw.kernels.linear_combination import ascend as linear_combination

WORDS = "functionally simulated; not compiled with bisheng, not run on an NPU"
"""What can be said of every one of them."""

ASCEND_KERNELS: tuple[AscendKernel, ...] = (attention.ASCEND, group_norm.ASCEND, linear_combination.ASCEND)

BY_OPERATOR: dict[str, AscendKernel] = {operator: kernel for kernel in ASCEND_KERNELS for operator in kernel.operators}
