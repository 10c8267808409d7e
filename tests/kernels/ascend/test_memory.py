"""The unified buffer that tilings state is the one that the kernels take, to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernels.ascend.nodes import group_norm_inputs, group_norm_node, normal, program
from kernels.calling import make_node

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import AscendKernel
from coopdraw.kernels.ascend.simulation import simulate_program
from coopdraw.kernels.group_norm.ascend import ASCEND as GROUP_NORM
from coopdraw.kernels.linear_combination.ascend import ASCEND as LINEAR_COMBINATION
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS


def group_norm_case(shape: tuple[int, ...], add: str, modulated: bool) -> tuple[AscendKernel, Node, list[np.ndarray]]:
    inputs = group_norm_inputs(shape, add=add, modulated=modulated)
    return GROUP_NORM, group_norm_node(inputs, 4, add=add, modulated=modulated, keep_sum=add != "none"), inputs


def linear_combination_case() -> tuple[AscendKernel, Node, list[np.ndarray]]:
    inputs = [normal(np.random.default_rng(0), (64, 64), "float16")]
    return LINEAR_COMBINATION, make_node("linear_combination", inputs, {"weights": (2.0,)}), inputs


CASES = {
    "plain": group_norm_case((1, 32, 16, 16), "none", False),
    "channel": group_norm_case((1, 32, 16, 16), "channel", True),
    "full": group_norm_case((1, 32, 16, 16), "full", True),
    "full, odd": group_norm_case((1, 20, 7, 7), "full", False),
    "much": group_norm_case((1, 64, 160, 160), "full", False),
    "linear combination": linear_combination_case(),
}


@pytest.mark.parametrize("case", CASES)
def test_stated_bytes_are_enough_and_needed(case: str) -> None:
    kernel, node, inputs = CASES[case]
    built = program(kernel, DType.FLOAT16, "ascend910b")
    stated = kernel.launch_of(node, built.soc).memory["ub"]
    planned = replace(kernel, launch=lambda problem, soc: kernel.launch(problem, SOCS["ascend910b"]))
    simulate_program(replace(built, soc=replace(built.soc, ub_bytes=stated)), planned, node, inputs)
    with pytest.raises(SimulationError) as caught:
        simulate_program(replace(built, soc=replace(built.soc, ub_bytes=stated - 32)), planned, node, inputs)
    assert caught.value.kind == "capacity"
