"""Addresses, lengths, capacity, initialisation, printing and assertions."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.graphs.errors import CoopdrawError
from coopdraw.kernels.simulator.simulation import Simulation, SimulationError, simulate

COUNT = 1000
X = np.arange(COUNT, dtype=np.float16)


def run(key: int) -> Simulation:
    return simulate(built("places", 2), [X], [((COUNT,), np.float16)], tiling_key=key)


def test_lengths_that_are_no_multiple_of_a_block() -> None:
    np.testing.assert_array_equal(run(0).outputs[0], X)


def test_printing() -> None:
    assert run(14).report.output == "block 0 of 1\n"


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [
        pytest.param(1, "alignment", "multiples of 32", id="length"),
        pytest.param(2, "alignment", "multiples of 32 bytes", id="address"),
        pytest.param(3, "bounds", "argument 0", id="behind_the_input"),
        pytest.param(4, "bounds", "UB", id="behind_the_buffer"),
        pytest.param(5, "uninitialised", "DataCopyPad", id="nothing_loaded"),
        pytest.param(6, "uninitialised", "byte 32", id="more_than_was_loaded"),
        pytest.param(7, "uninitialised", "ended without writing byte 1000 of the 2000", id="half_of_the_output"),
        pytest.param(8, "bounds", "argument 1", id="behind_the_output"),
        pytest.param(9, "uninitialised", "argument 1", id="reads_the_output"),
        pytest.param(10, "bounds", "TBuf::Get", id="behind_a_TBuf"),
        pytest.param(11, "bounds", "no memory", id="no_buffer"),
        pytest.param(12, "memory", "pointer", id="wild_pointer"),
        pytest.param(13, "assertion", "GetBlockNum", id="assertion"),
        pytest.param(15, "bounds", "SetValue", id="scalar_behind_the_output"),
        pytest.param(16, "bounds", "SetValue", id="scalar_behind_the_buffer"),
        pytest.param(17, "argument", "4095", id="too_many_blocks"),
        pytest.param(20, "capacity", "102400 bytes of UB", id="more_than_UB_has"),
    ],
)
def test_wrong_places(key: int, kind: str, words: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(key)
    assert caught.value.kind == kind


def test_output_that_may_be_partial() -> None:
    outputs = [((COUNT,), np.float16)]
    result = simulate(built("places", 2), [X], outputs, tiling_key=7, partial_outputs=[0])
    np.testing.assert_array_equal(result.outputs[0][:500], X[:500])


def test_wrong_number_of_tensors() -> None:
    with pytest.raises(CoopdrawError, match="takes 2 tensors"):
        simulate(built("places", 2), [X, X], [((COUNT,), np.float16)])
