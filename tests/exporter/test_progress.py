"""Progress in a log is plain lines; on a terminal the same lines stay when the bar is gone."""

from __future__ import annotations

import io

import pytest

from coopdraw.exporter import progress as progress_module
from coopdraw.exporter.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_in_a_log() -> None:
    log = io.StringIO()
    progress = Progress(log)
    with progress.stage("read"):
        progress.step(1, 3)
    progress.expect(2)
    with progress.stage("trace structure.unet"):
        pass
    first, second = log.getvalue().splitlines()
    assert first.startswith("[1] read (")
    assert second.startswith("[2/3] trace structure.unet (")


def test_slow_steps_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    log = io.StringIO()
    progress = Progress(log)
    with progress.stage("run"):
        progress.step(3, 40)
    assert log.getvalue().splitlines()[0] == "[1] run: 3 of 40"


def test_failed_stages_say_so() -> None:
    log = io.StringIO()
    progress = Progress(log)
    with pytest.raises(ValueError, match="broken"), progress.stage("run"):
        raise ValueError("broken")
    assert log.getvalue().startswith("[1] run failed (")


def test_a_bar_on_a_terminal() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    with progress.stage("run [bold]"):
        progress.step(1, 2)
    assert "run [bold]" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert terminal.getvalue().rstrip().endswith("s)")
