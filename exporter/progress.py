"""Progress of long work on stderr: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Numbers the stages of one piece of work and times each.

    A finished stage is one line: `[2/7] trace structure.unet (1.3 s)`, or `[2]` until `expect` says how many there are.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._stages: int | None = None
        self._number = 0
        self._title = ""
        self._last_line = 0.0
        self._bar: rich.progress.Progress | None = None

    def expect(self, stages: int) -> None:
        """Says how many more stages there will be."""
        self._stages = self._number + stages

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage of the work; stages follow each other and don't nest."""
        self._number += 1
        self._title = f"[{self._number}{f'/{self._stages}' if self._stages else ''}] {name}"
        start = self._last_line = time.monotonic()
        self._start_bar()
        outcome = " failed"
        try:
            yield
            outcome = ""
        finally:
            self._stop_bar()
            self._line(f"{self._title}{outcome} ({time.monotonic() - start:.1f} s)")

    def step(self, done: int, total: int) -> None:
        """Says how far the current stage is. In a log this is a line every ten seconds at most."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line(f"{self._title}: {done} of {total}")

    def note(self, text: str) -> None:
        """Something the user should know that is no error."""
        self._line(f"note: {text}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        print(text, file=self._stream, flush=True)

    def _start_bar(self) -> None:
        if not self._stream.isatty():
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress as Bar

        self._bar = Bar(console=Console(file=self._stream), transient=True)
        self._bar.add_task(escape(self._title), total=None)
        self._bar.start()

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
