"""Which nodes get a CPU kernel, and with what attributes."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.calling import make_node

from coopdraw.graphs.ops import lookup, operator_names
from coopdraw.kernels.cpu.selection import CPU_KERNELS, cpu_kernel, cpu_refusal


def test_every_fused_operator_has_a_kernel() -> None:
    fused = {name for name in operator_names() if lookup(name).decompose is not None}
    assert fused <= set(CPU_KERNELS)


def test_attributes_become_numbers_in_the_kernels_order() -> None:
    x, gamma = np.zeros((2, 8, 3), np.float32), np.zeros(8, np.float32)
    attributes = {"epsilon": 1e-3, "activation": "silu", "add": "channel", "modulated": True, "keep_sum": True}
    by_channel = np.zeros((2, 8), np.float32)
    node = make_node("fused_group_norm", [x, gamma, gamma, *[by_channel] * 3], {"groups": 4, **attributes})
    kernel = cpu_kernel(node)
    assert kernel is not None
    assert kernel.symbol == "coopdraw_fused_group_norm"
    assert kernel.arguments.dtype == np.float64
    assert kernel.arguments.tolist() == [4.0, 1e-3, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types_are_refused_with_the_reason(dtype: type) -> None:
    node = make_node("geglu", [np.zeros((2, 4), dtype)], {"approximate": "none", "gate": "first"})
    assert cpu_kernel(node) is None
    assert (
        cpu_refusal(node)
        == f"the CPU kernel coopdraw_geglu takes float32 only, but %x0 is {np.dtype(dtype).name}[2, 4]"
    )


def test_plain_operators_have_none() -> None:
    node = make_node("abs", [np.zeros(3, np.float32)], {})
    assert cpu_kernel(node) is None
    assert cpu_refusal(node) == "there is no CPU kernel for abs"
