"""Runs passes one after another, verifies the module between them, and reports what each did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from coopdraw.graphs.errors import GraphError, PassError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Miss, Pass, PassResult
from coopdraw.graphs.text import format_module
from coopdraw.graphs.verifier import verify


@dataclass(frozen=True)
class FixedPoint:
    """Passes that run in turn until a whole round changes nothing; more than `limit` rounds are an error."""

    passes: tuple[Pass, ...]
    limit: int = 10


Stage: TypeAlias = Pass | FixedPoint


@dataclass(frozen=True)
class PassRecord:
    """What one run of one pass did. `seconds` is for the log: only `as_manifest` is the same in every run."""

    name: str
    options: Mapping[str, object]
    modified: bool
    rewrites: int
    misses: tuple[Miss, ...]
    notes: Mapping[str, int]
    seconds: float = field(compare=False)

    def as_manifest(self) -> dict[str, object]:
        """Everything but the time, as JSON can hold it."""
        return {
            "name": self.name,
            "options": dict(self.options),
            "modified": self.modified,
            "rewrites": self.rewrites,
            "misses": [asdict(miss) for miss in self.misses],
            "notes": dict(self.notes),
        }


@dataclass(frozen=True)
class PassManager:
    """Runs `passes` in order.

    `verify` checks the module before the first and after every pass that changed it. With `dump_folder`, the text form
    is written there: `00-input.txt`, then `<number of the run>-<pass>.txt` after every run that changed something.
    `progress` is called with the name of each pass before it runs.
    """

    passes: Sequence[Stage]
    verify: bool = True
    dump_folder: Path | None = None
    progress: Callable[[str], None] | None = None

    def run(self, module: Module) -> tuple[Module, tuple[PassRecord, ...]]:
        """The module after all passes and a record of every run.

        Raises GraphError if the module that is given is invalid, and PassError, which names the pass, the node with its
        Cell and the passes that ran before, if a pass fails, leaves an invalid module or doesn't settle.
        """
        if self.verify:
            verify(module)
        self._dump("00-input", module)
        records: list[PassRecord] = []
        for stage in self.passes:
            if isinstance(stage, FixedPoint):
                module = self._settle(stage, module, records)
            else:
                module = self._run_pass(stage, module, records)
        return module, tuple(records)

    def _settle(self, stage: FixedPoint, module: Module, records: list[PassRecord]) -> Module:
        for _ in range(stage.limit):
            before = module
            for step in stage.passes:
                module = self._run_pass(step, module, records)
            if module is before:
                return module
        busy = [record.name for record in records[-len(stage.passes) :] if record.modified]
        raise PassError(
            f"after {stage.limit} rounds {', '.join(busy)} still find something to change; raise the limit of the "
            "FixedPoint or remove the pass that undoes another"
        )

    def _run_pass(self, step: Pass, module: Module, records: list[PassRecord]) -> Module:
        if self.progress is not None:
            self.progress(step.name)
        started = time.perf_counter()
        try:
            result = step.run(module)
        except Exception as error:
            raise PassError(f"pass {step.name} failed: {error or type(error).__name__}; {_history(records)}") from error
        seconds = time.perf_counter() - started
        if result.modified:
            self._dump(f"{len(records) + 1:02}-{step.name}", result.module)
        self._check(step, module, result, records)
        records.append(
            PassRecord(
                step.name, step.options(), result.modified, result.rewrites, result.misses, result.notes, seconds
            )
        )
        return result.module

    def _check(self, step: Pass, before: Module, result: PassResult, records: Sequence[PassRecord]) -> None:
        if not result.modified and result.module is not before:
            raise PassError(f"pass {step.name} hands back another module, but says it changed nothing; fix the pass")
        if not self.verify or not result.modified:
            return
        try:
            verify(result.module)
        except GraphError as error:
            raise PassError(f"pass {step.name} left an invalid module: {error}; {_history(records)}") from error

    def _dump(self, name: str, module: Module) -> None:
        if self.dump_folder is not None:
            self.dump_folder.mkdir(parents=True, exist_ok=True)
            (self.dump_folder / f"{name}.txt").write_text(format_module(module), encoding="utf-8")


def _history(records: Sequence[PassRecord]) -> str:
    names = ", ".join(record.name for record in records) or "none"
    return f"passes before it: {names}; dump the text form after each pass to see where it went wrong"
