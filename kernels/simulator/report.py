"""What a simulated kernel did: counts per core and pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PipeCounts:
    """What one pipe of one core did. Bytes count every operand of every instruction."""

    instructions: int
    bytes_read: int
    bytes_written: int
    global_bytes_read: int
    global_bytes_written: int
    elements: int
    """Vector operations on elements."""
    element_bytes: int
    repeats: int
    """Vector issues, each of up to 256 bytes."""
    multiply_adds: int
    multiply_add_bytes: int
    """Multiply-adds times the bytes of an operand's element."""


@dataclass(frozen=True)
class CoreReport:
    """One core: its kind ("vector", "cube", "coupled"), its place, and its pipes ("S", "V", "M", "MTE1" ...)."""

    kind: str
    block: int
    sub_block: int
    scalar_global_accesses: int
    pipes: Mapping[str, PipeCounts]


@dataclass(frozen=True)
class Report:
    """A run: its cores, and what the kernel printed."""

    cores: tuple[CoreReport, ...]
    output: str

    def total(self, field: str, pipe: str | None = None) -> int:
        """The sum of a PipeCounts field over all cores, of one pipe or of all."""
        return sum(
            int(getattr(counts, field))
            for core in self.cores
            for name, counts in core.pipes.items()
            if pipe is None or name == pipe
        )


@dataclass(frozen=True)
class Fault:
    """Why a kernel was stopped: the kind, one sentence, and the core (None when it is of the run as a whole)."""

    kind: str
    message: str
    core: int | None


def read_report(text: str) -> tuple[Report, Fault | None]:
    """The report that the simulator wrote."""
    data = json.loads(text)
    report = Report(tuple(_core(core) for core in data["cores"]), data["output"])
    return report, Fault(**data["fault"]) if data["fault"] else None


def _core(data: dict[str, Any]) -> CoreReport:
    pipes = {name: PipeCounts(**counts) for name, counts in data.pop("pipes").items()}
    return CoreReport(pipes=pipes, **data)
