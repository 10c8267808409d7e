"""Runs passes one after another, verifies the module between them, and reports what each did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from coopdraw.graphs.errors import CoopdrawError, GraphError, PassError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Miss, Pass
from coopdraw.graphs.passes.provenance import stamp
from coopdraw.graphs.text import format_module
from coopdraw.graphs.verifier import verify

_ELIDE = 64  # elements of a constant that a dump still shows


@dataclass(frozen=True)
class FixedPoint:
    """Passes that run in turn until a whole round changes nothing; more than `limit` rounds are an error."""

    passes: tuple[Pass, ...]
    limit: int = 10


Stage: TypeAlias = Pass | FixedPoint


@dataclass(frozen=True)
class PassRecord:
    """What one pass did: `runs` are more than one in a FixedPoint, whose misses are those of the last round.

    `seconds` is for the log: only `as_manifest` is the same in every run.
    """

    name: str
    options: Mapping[str, object]
    runs: int
    rewrites: int
    misses: tuple[Miss, ...]
    notes: Mapping[str, int]
    seconds: float = field(compare=False)

    def as_manifest(self) -> dict[str, object]:
        """Everything but the time, as JSON can hold it."""
        return {
            "name": self.name,
            "options": dict(self.options),
            "runs": self.runs,
            "rewrites": self.rewrites,
            "misses": [asdict(miss) for miss in self.misses],
            "notes": dict(self.notes),
        }


@dataclass(frozen=True)
class PassManager:
    """Runs `passes` in order.

    `verify` checks the module before the first and after every pass that changed it. With `dump_folder`, the text form
    (large constants elided) is written there: `00-input.txt`, then `<number>-<pass>.txt` after every run of a pass that
    changed something, the runs numbered from 1. `progress` is called with the name of each pass before it runs.
    """

    passes: Sequence[Stage]
    verify: bool = True
    dump_folder: Path | None = None
    progress: Callable[[str], None] | None = None

    def run(self, module: Module) -> tuple[Module, tuple[PassRecord, ...]]:
        """The module after all passes and a record of each pass of each stage.

        Raises GraphError if the module that is given is invalid, and PassError, which names the pass, the node with its
        Cell and the passes that ran before, if a pass fails, leaves an invalid module or doesn't settle.
        """
        if self.verify:
            verify(module)
        self._dump("00-input", module)
        history: list[PassRecord] = []
        records: list[PassRecord] = []
        for stage in self.passes:
            start = len(history)
            if isinstance(stage, FixedPoint):
                module = self._settle(stage, module, history)
                records += [_merge(history[start + index :: len(stage.passes)]) for index in range(len(stage.passes))]
            else:
                module = self._run_pass(stage, module, history)
                records.append(history[-1])
        return module, tuple(records)

    def _settle(self, stage: FixedPoint, module: Module, history: list[PassRecord]) -> Module:
        for _ in range(stage.limit):
            before = module
            for step in stage.passes:
                module = self._run_pass(step, module, history)
            if module is before:
                return module
        busy = [record.name for record in history[-len(stage.passes) :] if record.rewrites]
        raise PassError(
            f"after {stage.limit} rounds {', '.join(busy)} still find something to change; raise the limit of the "
            "FixedPoint or remove the pass that undoes another"
        )

    def _run_pass(self, step: Pass, module: Module, history: list[PassRecord]) -> Module:
        if self.progress is not None:
            self.progress(step.name)
        started = time.perf_counter()
        try:
            result = step.run(module)
        except Exception as error:
            raise PassError(
                f"pass {step.name} failed: {str(error) or type(error).__name__}; {_advice(history)}"
            ) from error
        seconds = time.perf_counter() - started
        if result.modified != (result.module is not module):
            raise PassError(
                f"pass {step.name} must hand back the very module it got if, and only if, it changed nothing"
            )
        if result.modified:
            self._dump(f"{len(history) + 1:02}-{step.name}", result.module)
            self._verify_after(step, result.module, history)
        history.append(PassRecord(step.name, step.options(), 1, result.rewrites, result.misses, result.notes, seconds))
        return stamp(step.name, module, result.module)

    def _verify_after(self, step: Pass, module: Module, history: Sequence[PassRecord]) -> None:
        if not self.verify:
            return
        try:
            verify(module)
        except GraphError as error:
            raise PassError(f"pass {step.name} left an invalid module: {error}; {_advice(history)}") from error

    def _dump(self, name: str, module: Module) -> None:
        if self.dump_folder is None:
            return
        try:
            self.dump_folder.mkdir(parents=True, exist_ok=True)
            (self.dump_folder / f"{name}.txt").write_text(format_module(module, _ELIDE), encoding="utf-8")
        except OSError as error:
            raise CoopdrawError(f"cannot write to {self.dump_folder}: {error}; choose another folder") from error


def _merge(runs: Sequence[PassRecord]) -> PassRecord:
    """One record for all runs of a pass: sums, and the misses that were left in the end."""
    notes: dict[str, int] = {}
    for run in runs:
        notes.update({name: notes.get(name, 0) + number for name, number in run.notes.items()})
    return replace(
        runs[-1],
        runs=len(runs),
        rewrites=sum(run.rewrites for run in runs),
        notes=notes,
        seconds=sum(run.seconds for run in runs),
    )


def _advice(history: Sequence[PassRecord]) -> str:
    names = ", ".join(record.name for record in history) or "none"
    return f"passes that ran before it: {names}; dump the text form to see what each did"
