"""Queues: kernels that use them as documented run right, and each misuse is named."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.kernels.simulator.simulation import Simulation, SimulationError, simulate

TILING = "struct ElementwiseTiling { uint32_t length, tile, fault; };"
FAULTS = [
    "none",
    "no_enque",
    "no_free",
    "no_free_at_end",
    "wrong_queue",
    "output_queue_for_input",
    "depth_exceeded",
    "free_twice",
    "no_hand_over_to_vector",
    "no_hand_over_to_copy_out",
    "reads_stale_buffer",
    "enque_twice",
    "free_before_use",
]


def run(fault: str, cores: int = 2, tiles: int = 4, tile: int = 256) -> tuple[Simulation, np.ndarray]:
    program = built("elementwise", 3, tiling=TILING, tiling_struct="ElementwiseTiling")
    length = cores * tiles * tile
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal(length, np.float32) for _ in range(2))
    tiling = np.array([length, tile, FAULTS.index(fault)], np.uint32).tobytes()
    return simulate(program, [x, y], [((length,), np.float32)], tiling, 0, cores), x + y


@pytest.mark.parametrize(("cores", "tiles", "tile"), [(1, 1, 8), (1, 5, 64), (3, 4, 256), (40, 3, 1024)])
def test_double_buffered_queues(cores: int, tiles: int, tile: int) -> None:
    result, expected = run("none", cores, tiles, tile)
    # One float32 addition, rounded once, is the same everywhere.
    np.testing.assert_array_equal(result.outputs[0], expected)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("no_enque", "queue", "DeQue of a VECIN queue that is empty"),
        ("no_free", "queue", "AllocTensor of a VECIN queue waits for ever"),
        ("no_free_at_end", "queue", "call FreeTensor"),
        ("wrong_queue", "queue", "not from this queue"),
        ("output_queue_for_input", "hazard", "MTE2_V"),
        ("depth_exceeded", "queue", "depth 1"),
        ("free_twice", "queue", "free already"),
        ("no_hand_over_to_vector", "hazard", "PipeBarrier<PIPE_MTE2>"),
        ("no_hand_over_to_copy_out", "hazard", "V_MTE3"),
        ("reads_stale_buffer", "uninitialised", "nothing wrote byte"),
        ("enque_twice", "queue", "enqueued"),
        ("free_before_use", "hazard", "MTE2_V"),
    ],
)
def test_misuse_of_queues(fault: str, kind: str, words: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(fault)
    assert caught.value.kind == kind
    assert caught.value.core == 0
