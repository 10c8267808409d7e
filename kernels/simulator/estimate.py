"""An estimate of a kernel's time on a device, from what the simulator counted. Nothing here was measured on one."""

from __future__ import annotations

from dataclasses import dataclass

from coopdraw.kernels.simulator.report import CoreReport, Report
from coopdraw.kernels.simulator.soc import Soc


@dataclass(frozen=True)
class Estimate:
    """Seconds that each unit needs at its peak rate; the kernel takes at least the longest of them."""

    memory: float
    vector: float
    cube: float

    @property
    def seconds(self) -> float:
        """The roofline: all units overlap perfectly and each works at its peak."""
        return max(self.memory, self.vector, self.cube)

    @property
    def bound(self) -> str:
        """The unit that the kernel waits for: "memory", "vector" or "cube"."""
        return max(("memory", "vector", "cube"), key=lambda unit: float(getattr(self, unit)))


def estimate(report: Report, soc: Soc) -> Estimate:
    """The roofline of a run: global memory as a whole, the vector and the cube unit of the busiest core."""
    moved = report.total("global_bytes_read") + report.total("global_bytes_written")
    return Estimate(
        memory=moved / soc.memory_bytes_per_second,
        vector=max((_vector_cycles(core, soc) for core in report.cores), default=0.0) / soc.clock_hz,
        cube=max((_multiply_adds(core) for core in report.cores), default=0.0) * 2 * soc.cube_cores / soc.cube_flops,
    )


def _vector_cycles(core: CoreReport, soc: Soc) -> float:
    counts = core.pipes.get("V")
    if counts is None:
        return 0.0
    return max(counts.repeats, counts.element_bytes / soc.vector_bytes_per_cycle)


def _multiply_adds(core: CoreReport) -> float:
    """Of two-byte operands: others take time in proportion to their size."""
    counts = core.pipes.get("M")
    return 0.0 if counts is None else counts.multiply_add_bytes / 2
