"""Several cores: what they pass on through global memory needs an order, and waits that nothing ends are found."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.kernels.simulator.simulation import Simulation, SimulationError, simulate

PART = 64
WORKSPACE = 512 * 1024


def run(key: int, cores: int = 4, *, zeroed: bool = True, partial: bool = False) -> tuple[np.ndarray, Simulation]:
    x = np.random.default_rng(4).integers(-1000, 1000, (cores, PART)).astype(np.float32)
    result = simulate(
        built("meeting", 2),
        [x],
        [((cores, PART), np.float32)],
        tiling_key=key,
        cores=cores,
        workspace_bytes=WORKSPACE,
        zeroed_workspace=zeroed,
        partial_outputs=[0] if partial else [],
    )
    return x, result


@pytest.mark.parametrize("key", [0, 2])
@pytest.mark.parametrize("cores", [1, 2, 40])
def test_synchronised_cores(key: int, cores: int) -> None:
    x, result = run(key, cores)
    np.testing.assert_array_equal(result.outputs[0], np.roll(x, 1, axis=0))


def test_rows_that_share_a_block() -> None:
    x, result = run(7)
    np.testing.assert_array_equal(result.outputs[0], x)


def test_same_values_from_two_cores() -> None:
    x, result = run(3)
    np.testing.assert_array_equal(result.outputs[0], x)


def test_atomic_adds_of_all_cores() -> None:
    x, result = run(5, partial=True)
    # Cores add in any order; sums of integers don't depend on it.
    np.testing.assert_array_equal(result.outputs[0][0], x.sum(axis=0))


def test_cores_one_after_the_other() -> None:
    x, result = run(10)
    np.testing.assert_array_equal(result.outputs[0], np.broadcast_to(x[0], x.shape))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param(1, "core [0-9]", id="read_without_synchronisation"),
        pytest.param(4, "core 0 may still be writing", id="all_write_one_place"),
        pytest.param(8, "may still be reading", id="write_what_another_reads"),
    ],
)
def test_races(key: int, words: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(key, partial=True)
    assert caught.value.kind == "race"


def test_workspace_that_nobody_wrote() -> None:
    with pytest.raises(SimulationError, match="SyncAll has a workspace") as caught:
        run(2, zeroed=False)
    assert caught.value.kind == "uninitialised"


def test_core_that_stays_away() -> None:
    with pytest.raises(SimulationError, match=r"SyncAll of 4 cores.*ended: 1") as caught:
        run(6)
    assert caught.value.kind == "deadlock"


def test_hardware_synchronisation_needs_a_scheduler() -> None:
    with pytest.raises(SimulationError, match="KERNEL_TYPE_MIX_AIV_1_0"):
        run(9)


def test_cube_core_after_its_vector_cores() -> None:
    x = np.random.default_rng(5).standard_normal((6, PART)).astype(np.float32)
    program = built("meeting", 2, "mixed", cores="mixed")

    def run_mixed(key: int) -> Simulation:
        outputs = [((6, PART), np.float32)]
        return simulate(program, [x], outputs, tiling_key=key, cores=3, workspace_bytes=WORKSPACE)

    result = run_mixed(0)
    np.testing.assert_array_equal(result.outputs[0], x)
    assert [core.kind for core in result.report.cores] == ["cube", "vector", "vector"] * 3
    with pytest.raises(SimulationError, match="CrossCoreWaitFlag") as caught:
        run_mixed(1)
    assert caught.value.kind == "deadlock"
    with pytest.raises(SimulationError) as caught:
        run_mixed(2)
    assert caught.value.kind == "uninitialised"


def test_cores_of_310p() -> None:
    x = np.arange(8 * PART, dtype=np.float32).reshape(8, PART)
    program = built("coupled", 2, soc="ascend310p")

    def run_coupled(key: int) -> Simulation:
        return simulate(
            program,
            [x],
            [((8, PART), np.float32)],
            tiling_key=key,
            cores=8,
            workspace_bytes=WORKSPACE,
            zeroed_workspace=True,
        )

    np.testing.assert_array_equal(run_coupled(0).outputs[0], np.roll(x, 1, axis=0))
    with pytest.raises(SimulationError, match="use the form with workspaces"):
        run_coupled(1)
