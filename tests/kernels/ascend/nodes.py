"""Nodes and data for the Ascend kernels, and how close to the reference they must come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from kernels.calling import make_node

from coopdraw.graphs.ir import Attribute, Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.render import kernel_source
from coopdraw.kernels.ascend.simulation import build_source
from coopdraw.kernels.simulator.build import Program
from coopdraw.kernels.simulator.soc import SOCS


@cache
def program(kernel: AscendKernel, dtype: DType, soc: str, layout: Layout = Layout.CANN9) -> Program:
    """The kernel built for one type and SoC."""
    return build_source(kernel, kernel_source(kernel, layout), dtype, SOCS[soc], layout)


def normal(random: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    return random.standard_normal(tuple(shape)).astype(dtype)


def group_norm_inputs(
    shape: tuple[int, ...], dtype: str = "float16", *, add: str = "none", modulated: bool = False, seed: int = 0
) -> list[np.ndarray]:
    """Inputs of fused_group_norm: unit-scale x, gamma about 1."""
    random = np.random.default_rng(seed)
    rows = shape[:2]
    inputs = [
        normal(random, shape, dtype),
        (1 + 0.1 * random.standard_normal(shape[1])).astype(dtype),
        normal(random, shape[1:2], dtype),
    ]
    if add != "none":
        inputs.append(normal(random, shape if add == "full" else rows, dtype))
    if modulated:
        inputs += [(0.1 * random.standard_normal(rows)).astype(dtype), normal(random, rows, dtype)]
    return inputs


def group_norm_node(
    inputs: Sequence[np.ndarray],
    groups: int = 32,
    *,
    add: str = "none",
    modulated: bool = False,
    activation: str = "silu",
    keep_sum: bool = False,
    epsilon: float = 1e-5,
) -> Node:
    attributes: dict[str, Attribute] = {
        "groups": groups,
        "epsilon": epsilon,
        "activation": activation,
        "add": add,
        "modulated": modulated,
        "keep_sum": keep_sum,
    }
    return make_node("fused_group_norm", inputs, attributes)


def half_spacing(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The error of rounding the values to a type once: half the distance of its numbers there."""
    return np.spacing(np.abs(array).astype(dtype)).astype(np.float64) / 2


def assert_close(output: np.ndarray, expected: np.ndarray, arithmetic: float = 2e-5) -> None:
    """One rounding to the output's type, and what float32 arithmetic comes to for values of scale 1.

    `arithmetic` is absolute: 2e-5 is some hundred float32 roundings.
    """
    error = np.abs(output.astype(np.float64) - expected)
    bound = 1.01 * half_spacing(expected, output.dtype) + arithmetic * (1 + np.abs(expected))
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert error[worst] <= bound[worst], f"at {worst}: {output[worst]} instead of {expected[worst]}"
