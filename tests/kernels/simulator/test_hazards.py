"""Order within a core: correct kernels pass, and what is left out is found, with the flag or barrier to add."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.kernels.simulator.simulation import Simulation, SimulationError, Synchronisation, simulate

COUNT = 1024
GENERATOR = np.random.default_rng(1)
X, Y = (GENERATOR.standard_normal(COUNT, np.float32) for _ in range(2))


def run(key: int, synchronisation: Synchronisation = "strict") -> Simulation:
    outputs = [((COUNT,), np.float32)]
    return simulate(built("order", 3), [X, Y], outputs, tiling_key=key, synchronisation=synchronisation)


def half_and_half() -> np.ndarray:
    return np.concatenate([X[: COUNT // 2], Y[COUNT // 2 :]])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(0, X + Y + Y, id="flags_and_barriers"),
        pytest.param(10, X + X, id="scalars"),
        pytest.param(20, X + X, id="ping_pong"),
        pytest.param(30, X + Y, id="overwrite_after_read"),
        pytest.param(40, X, id="through_global_memory"),
        pytest.param(50, half_and_half(), id="overlapping_copies"),
        pytest.param(52, X, id="overlapping_copies_of_the_same"),
        pytest.param(60, X + Y, id="neighbours_in_a_block"),
        pytest.param(61, X + Y, id="through_the_scalar_unit"),
    ],
)
def test_ordered_kernels(key: int, expected: np.ndarray) -> None:
    # Sums of two or three float32 in the order of the kernel: the same rounding as NumPy's.
    np.testing.assert_array_equal(run(key).outputs[0], expected)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param(1, "HardEvent::MTE2_V", id="load_then_vector"),
        pytest.param(2, "PipeBarrier<PIPE_V>", id="vector_then_vector"),
        pytest.param(3, "HardEvent::V_MTE3", id="vector_then_store"),
        pytest.param(11, "HardEvent::V_S", id="vector_then_scalar"),
        pytest.param(12, "HardEvent::S_MTE3", id="scalar_then_store"),
        pytest.param(31, "HardEvent::V_MTE2", id="read_then_overwritten"),
        pytest.param(41, "HardEvent::MTE3_MTE2", id="store_then_load"),
        pytest.param(51, "PipeBarrier<PIPE_MTE3>", id="overlapping_stores"),
        pytest.param(74, "HardEvent::MTE2_V", id="flag_the_wrong_way_round"),
    ],
)
def test_missing_order(key: int, words: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(key)
    assert caught.value.kind == "hazard"


def test_other_buffer_of_ping_pong() -> None:
    with pytest.raises(SimulationError) as caught:
        run(21)
    assert caught.value.kind == "uninitialised"


@pytest.mark.parametrize("key", [2, 11, 12])
def test_order_that_the_device_compiler_adds(key: int) -> None:
    expected = X + Y + Y if key == 2 else X + X
    np.testing.assert_array_equal(run(key, "automatic").outputs[0], expected)


@pytest.mark.parametrize("key", [1, 3, 31, 41, 51])
def test_order_that_the_device_compiler_does_not_add(key: int) -> None:
    with pytest.raises(SimulationError) as caught:
        run(key, "automatic")
    assert caught.value.kind == "hazard"


@pytest.mark.parametrize(
    ("key", "kind", "words"),
    [
        pytest.param(70, "deadlock", "nothing set that flag", id="never_set"),
        pytest.param(71, "event", "still set", id="left_set"),
        pytest.param(72, "event", "set already", id="set_twice"),
        pytest.param(73, "deadlock", "V_MTE2", id="swapped"),
        pytest.param(75, "event", "events 0 to 7", id="no_such_event"),
        pytest.param(76, "event", "all 8 events", id="more_events_than_there_are"),
    ],
)
def test_flags(key: int, kind: str, words: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(key)
    assert caught.value.kind == kind
