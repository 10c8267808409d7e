"""Runs a built kernel in a process of its own and reads back its outputs and its report."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from coopdraw.graphs.errors import CoopdrawError
from coopdraw.kernels.simulator.build import Program
from coopdraw.kernels.simulator.report import Fault, Report, read_report
from coopdraw.kernels.simulator.soc import Soc

Synchronisation = Literal["strict", "automatic"]
Array = np.ndarray[Any, np.dtype[Any]]


class SimulationError(CoopdrawError):
    """A kernel that went wrong in the simulator; `kind` names the rule that it broke and `core` where."""

    exit_code = 1

    def __init__(self, fault: Fault) -> None:
        where = "" if fault.core is None else f" (core {fault.core})"
        super().__init__(f"{fault.message}{where}")
        self.kind = fault.kind
        self.core = fault.core


@dataclass(frozen=True)
class Simulation:
    """The outputs of a kernel, those that it changed in place first, and what it did."""

    outputs: tuple[Array, ...]
    report: Report


def simulate(
    program: Program,
    inputs: Sequence[Array | None],
    outputs: Sequence[tuple[Sequence[int], DTypeLike]],
    tiling: bytes = b"",
    tiling_key: int = 0,
    cores: int = 1,
    workspace_bytes: int = 0,
    *,
    synchronisation: Synchronisation = "strict",
    zeroed_workspace: bool = False,
    in_place: Collection[int] = (),
    partial_outputs: Collection[int] = (),
    readable_past_end: int = 0,
    timeout: float = 300.0,
) -> Simulation:
    """Runs the kernel on `cores` blocks with inputs, then outputs, as its arguments.

    An input may be None (a null pointer); inputs in `in_place` are returned as well. Outputs and workspace start
    uninitialised (`zeroed_workspace`: as zeros); an output not in `partial_outputs` has to be written completely.
    `readable_past_end` is how many bytes (zeros) behind each input may be read, for kernels that read whole blocks and
    rely on the allocations of the device being longer than the tensors.
    `synchronisation` says whether order within a core has to be written into the kernel ("strict") or is added as the
    device compiler does by default ("automatic": vector instructions among each other, scalar accesses with V, MTE2
    and MTE3). Raises SimulationError for the first fault.
    """
    expected = len(inputs) + len(outputs)
    if expected != program.arguments:
        raise CoopdrawError(f"the kernel takes {program.arguments} tensors, but was given {expected}; pass all of them")
    with tempfile.TemporaryDirectory(prefix="coopdraw-simulation.") as work:
        folder = Path(work)
        lines = _setup_lines(program, cores, tiling_key, synchronisation)
        lines += _argument_lines(folder, inputs, outputs, in_place, partial_outputs, readable_past_end)
        if workspace_bytes:
            lines.append(f"workspace {workspace_bytes} {'zeroed' if zeroed_workspace else 'uninitialised'}")
        if tiling:
            (folder / "tiling").write_bytes(tiling)
            lines.append(f"tiling {folder / 'tiling'} {len(tiling)}")
        (folder / "job").write_text("\n".join(lines) + "\n")
        report = _run(program.simulator, folder, timeout)
        changed = [_read(folder / f"input{index}.after", inputs[index]) for index in sorted(in_place)]
        made = [_load(folder / f"output{index}", shape, dtype) for index, (shape, dtype) in enumerate(outputs)]
    return Simulation((*changed, *made), report)


def _setup_lines(program: Program, cores: int, tiling_key: int, synchronisation: Synchronisation) -> list[str]:
    lines = [
        f"blocks {cores}",
        f"coupled {int(program.soc.coupled)}",
        f"synchronisation {synchronisation}",
        f"tiling_key {tiling_key}",
        f"capacity {_capacities(program.soc)}",
    ]
    if program.vector is not None:
        lines.append(f"vector_entry {program.vector}")
    if program.cube is not None:
        lines.append(f"cube_entry {program.cube}")
    return lines


def _capacities(soc: Soc) -> str:
    sizes = (
        soc.ub_bytes,
        soc.l1_bytes,
        soc.l0a_bytes,
        soc.l0b_bytes,
        soc.l0c_bytes,
        soc.bias_bytes,
        soc.fixbuf_bytes,
    )
    return " ".join(str(size) for size in sizes)


def _argument_lines(
    folder: Path,
    inputs: Sequence[Array | None],
    outputs: Sequence[tuple[Sequence[int], DTypeLike]],
    in_place: Collection[int],
    partial_outputs: Collection[int],
    readable_past_end: int,
) -> list[str]:
    lines = []
    for index, array in enumerate(inputs):
        if array is None:
            lines.append("argument null")
            continue
        path = folder / f"input{index}"
        after = f" {path}.after" if index in in_place else ""
        data = np.ascontiguousarray(array).tobytes() + bytes(0 if after else readable_past_end)
        path.write_bytes(data)
        lines.append(f"argument {'in_place' if after else 'input'} {len(data)} {path}{after}")
    for index, (shape, dtype) in enumerate(outputs):
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        part = "partial" if index in partial_outputs else "whole"
        lines.append(f"argument output {size} {folder / f'output{index}'} {part}")
    return lines


def _run(simulator: Path, folder: Path, timeout: float) -> Report:
    report_path = folder / "report"
    command = [str(simulator), str(folder / "job"), str(report_path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
    except subprocess.TimeoutExpired:
        message = f"the kernel did not end within {timeout:g} seconds; look for a loop without end or give it more time"
        raise SimulationError(Fault("deadlock", message, None)) from None
    if not report_path.is_file():
        message = f"the simulator ended with {done.returncode} and without a report ({done.stderr.strip()[-200:]})"
        raise SimulationError(Fault("memory", f"{message}; look for pointers outside the arguments", None))
    report, fault = read_report(report_path.read_text())
    if fault is not None:
        raise SimulationError(fault)
    return Report(report.cores, done.stdout + report.output)


def _read(path: Path, like: Array | None) -> Array:
    if like is None:
        raise CoopdrawError("an argument that is None cannot be changed in place; leave it out of in_place")
    return _load(path, like.shape, like.dtype)


def _load(path: Path, shape: Sequence[int], dtype: DTypeLike) -> Array:
    return np.frombuffer(path.read_bytes(), dtype).reshape(tuple(shape)).copy()
