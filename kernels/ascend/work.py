"""What an operator of the device moves and computes, and the time that takes at least. Nothing here was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coopdraw.kernels.ascend.capacity import ceil_div
from coopdraw.kernels.simulator.soc import Soc

START_SECONDS = 1e-6
"""Assumed for starting one operator: published as a share of those that take microseconds, not as a number.

asc-devkit:docs/zh/guide/算子实践参考/SIMD算子性能优化/头尾开销优化/设置合适的核数和算子Kernel类型.md
"""


@dataclass(frozen=True)
class Work:
    """One operator's work on one problem.

    `first_bytes` are read from or written to global memory for the first time; `again_bytes` are read once more, or are
    intermediate results, so that a cache can have them. `vector_bytes` are those of all elements that vector
    instructions go through, `multiply_adds` those of the cube in float16. `busy` is the share of the cores' time in
    which they have work, from 0 to 1: where it ends late on some, the others wait.
    """

    first_bytes: int
    again_bytes: int = 0
    vector_bytes: int = 0
    multiply_adds: int = 0
    busy: float = 1.0

    @property
    def moved_bytes(self) -> int:
        return self.first_bytes + self.again_bytes


def seconds(works: Iterable[Work], soc: Soc) -> float:
    """The roofline of operators that run one after the other: each as long as the slowest of its units, at peak rates.

    A core that waits uses none of the memory's bandwidth. `again_bytes` come at the rate of the L2 cache if that is
    known and everything fits into it. An estimate.
    """
    return sum(START_SECONDS + _roofline(work, soc) for work in works)


def even_share(parts: int, cores: int) -> float:
    """`Work.busy` of equal parts that can't be divided among cores: 32 parts on 40 cores are 0.8."""
    return parts / (ceil_div(parts, cores) * cores)


def _roofline(work: Work, soc: Soc) -> float:
    cached = soc.l2_bytes_per_second is not None and work.moved_bytes <= soc.l2_bytes
    memory = (work.first_bytes if cached else work.moved_bytes) / soc.memory_bytes_per_second
    cache = work.moved_bytes / soc.l2_bytes_per_second if cached and soc.l2_bytes_per_second else 0.0
    vector = work.vector_bytes / (soc.vector_cores * soc.vector_bytes_per_cycle * soc.clock_hz)
    cube = 2 * work.multiply_adds / soc.cube_flops
    return max(memory, cache, vector, cube) / work.busy
