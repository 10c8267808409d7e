"""Counts of a kernel whose work is known, and the roofline that is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.kernels.simulator.estimate import estimate
from coopdraw.kernels.simulator.report import CoreReport, PipeCounts, Report
from coopdraw.kernels.simulator.simulation import simulate
from coopdraw.kernels.simulator.soc import SOCS

NOTHING = PipeCounts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_counts_of_an_addition() -> None:
    cores, tiles, tile = 3, 4, 256
    length = cores * tiles * tile
    x = np.ones(length, np.float32)
    program = built(
        "elementwise", 3, tiling="struct ElementwiseTiling { uint32_t length, tile, fault; };",
        tiling_struct="ElementwiseTiling",
    )  # fmt: skip
    data = np.array([length, tile, 0], np.uint32).tobytes()
    report = simulate(program, [x, x], [((length,), np.float32)], data, 0, cores).report
    assert len(report.cores) == cores
    assert report.total("global_bytes_read", "MTE2") == 2 * 4 * length
    assert report.total("global_bytes_written", "MTE3") == 4 * length
    assert report.total("elements", "V") == length
    assert report.total("repeats", "V") == length * 4 // 256
    assert report.total("instructions", "V") == cores * tiles
    # 12 bytes an element through memory of 1.6 TB/s; 64 elements a cycle of 1.85 GHz on each core.
    result = estimate(report, SOCS["ascend910b"])
    assert result.memory == pytest.approx(12 * length / 1.6e12)
    assert result.vector == pytest.approx(tiles * tile / 64 / 1.85e9)
    assert result.cube == 0
    assert (result.bound, result.seconds) == ("memory", result.memory)


def test_busiest_core_decides() -> None:
    soc = SOCS["ascend310p"]
    small = PipeCounts(1, 0, 0, 0, 0, 0, 0, 10, 0, 0)
    large = PipeCounts(1, 0, 0, 0, 0, 0, 0, 1000, 0, 0)
    cores = tuple(CoreReport("coupled", 0, 0, 0, {"V": counts, "S": NOTHING}) for counts in (small, large))
    assert estimate(Report(cores, ""), soc).vector == pytest.approx(1000 / soc.clock_hz)


def test_cube_at_its_peak() -> None:
    soc = SOCS["ascend910b"]
    multiply_adds = 16**3 * 1000
    counts = PipeCounts(1, 0, 0, 0, 0, 0, 0, 0, multiply_adds, 2 * multiply_adds)
    report = Report((CoreReport("cube", 0, 0, 0, {"M": counts}),), "")
    # A cube unit does 16 x 16 x 16 multiply-adds of float16 a cycle.
    assert estimate(report, soc).cube == pytest.approx(1000 / soc.clock_hz)
