"""What `coopdraw kernels` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from coopdraw.exporter.reporting.figures import size_text

if TYPE_CHECKING:
    from coopdraw.exporter.kernel_runs.figures import RunFigures
    from coopdraw.exporter.kernel_runs.listing import KernelEntry
    from coopdraw.exporter.kernel_runs.node_run import NodeRun
    from coopdraw.exporter.kernel_runs.source_run import SourceRun
    from coopdraw.exporter.kernel_runs.tuning import Trial

_TABLE_WIDTH = 160
"""Columns that the list needs for whole names."""


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return Console(width=max(console.width, _TABLE_WIDTH), highlight=False, markup=False)


def print_entries(entries: Sequence[KernelEntry]) -> None:
    """A table, and below it what the words in its last column stand for."""
    table = Table("operator", "CPU kernel", "Ascend type", "SoCs", "types", "device's own", "status", box=None)
    statuses = list(dict.fromkeys(entry.status for entry in entries if entry.ascend))
    for entry in entries:
        table.add_row(
            entry.operator,
            entry.cpu or "-",
            entry.ascend or "-",
            " ".join(soc.removeprefix("ascend") for soc in entry.socs) or "-",
            " ".join(entry.dtypes) or "-",
            entry.built_in or "-",
            f"[{statuses.index(entry.status) + 1}]" if entry.ascend else entry.status,
        )
    console = _console()
    console.print(table)
    for index, status in enumerate(statuses):
        console.print(f"[{index + 1}] {status}")


def print_node_run(run: NodeRun) -> None:
    console = _console()
    console.print(f"{run.kernel} on {run.soc}: {', '.join(run.operands)}")
    table = Table(box=None, show_header=False)
    for index, (error, largest) in enumerate(zip(run.errors, run.largest, strict=True)):
        table.add_row("max error", f"{error:.3g} of values up to {largest:.3g}, output {index}, against float64")
    _add_figures(table, run.figures)
    for name, (used, available) in run.memory.items():
        table.add_row(name.upper(), f"{used} of {available} bytes a core")
    table.add_row("tiling", ", ".join(f"{name} {value}" for name, value in run.tiling.items()))
    table.add_row("tiling key", str(run.key))
    table.add_row("workspace", f"{run.workspace_bytes} bytes")
    for note in run.notes:
        table.add_row("note", note)
    table.add_row("choice", f"{run.choice.type_name or 'plain operators'}: {run.choice.reason}")
    console.print(table)
    console.print(run.status)


def print_source_run(run: SourceRun) -> None:
    console = _console()
    table = Table(box=None, show_header=False)
    for name, array in run.outputs.items():
        table.add_row(
            name, f"{array.dtype}{list(array.shape)}, {array.min()} to {array.max()}" if array.size else "empty"
        )
    _add_figures(table, run.figures)
    console.print(table)
    if run.printed:
        console.print(run.printed.rstrip())


def print_trials(trials: Sequence[Trial]) -> None:
    """Fastest first; `*` marks what the kernel chooses by itself."""
    names = list(trials[0].varied)
    table = Table("", *(name.replace("_", " ") for name in names), "estimate", "moved", "blocks", box=None)
    for trial in trials:
        varied = [str(trial.varied[name]) for name in names]
        if trial.seconds is None or trial.moved_bytes is None:
            table.add_row("", *varied, "fault", trial.fault, str(trial.cores))
        else:
            time = f"{1e6 * trial.seconds:.2f} us"
            table.add_row("*" if trial.own else "", *varied, time, size_text(trial.moved_bytes), str(trial.cores))
    console = _console()
    console.print(table)
    console.print("* what the kernel chooses; times are an estimate")


def _add_figures(table: Table, figures: RunFigures) -> None:
    ratio = figures.moved_bytes / figures.least_bytes if figures.least_bytes else 0.0
    table.add_row("bytes moved", f"{figures.moved_bytes}, {ratio:.3f} of the least, {figures.least_bytes}")
    busy = ", ".join(f"{worked} of {available} {kind}" for kind, (worked, available) in figures.busy.items())
    table.add_row("busy cores", busy)
    table.add_row("time", f"{1e6 * figures.seconds:.2f} us, bound by {figures.bound} (an estimate)")
