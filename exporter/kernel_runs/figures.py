"""What a report of the simulator comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from coopdraw.kernels.simulator.estimate import estimate
from coopdraw.kernels.simulator.report import CoreReport, Report
from coopdraw.kernels.simulator.soc import Soc


@dataclass(frozen=True)
class RunFigures:
    """Bytes of global memory that were moved, and the least that any kernel must: every tensor once.

    `busy` has, by kind of core, how many worked and how many the SoC has. `seconds` is the roofline of what was
    counted, an estimate; `bound` the unit that it waits for.
    """

    moved_bytes: int
    least_bytes: int
    busy: Mapping[str, tuple[int, int]]
    seconds: float
    bound: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_figures(report: Report, soc: Soc, least_bytes: int) -> RunFigures:
    found = estimate(report, soc)
    return RunFigures(
        moved_bytes=report.total("global_bytes_read") + report.total("global_bytes_written"),
        least_bytes=least_bytes,
        busy=_busy(report, soc),
        seconds=found.seconds,
        bound=found.bound,
    )


def _busy(report: Report, soc: Soc) -> dict[str, tuple[int, int]]:
    available = {"vector": soc.vector_cores, "cube": soc.cube_cores, "coupled": soc.vector_cores}
    kinds = sorted({core.kind for core in report.cores})
    return {kind: (sum(_worked(core) for core in report.cores if core.kind == kind), available[kind]) for kind in kinds}


def _worked(core: CoreReport) -> bool:
    return any(pipe.elements or pipe.multiply_adds for pipe in core.pipes.values())
