"""Runs the `lite/` form of a bundle with MindSpore Lite, in the program coopdraw-run.

Lite's libraries clash with those of `mindspore`, so they never share a process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from coopdraw.runtime.backends import LoadedGraph
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.lite_process import LiteProcess
from coopdraw.runtime.lite_program import lite_program
from coopdraw.runtime.strict_json import Fields, JsonValue, parse_json


def open_backend(num_threads: int | None) -> Callable[[Path], LoadedGraph]:
    """Fetches and builds what is missing; raises BackendError when that fails. All graphs share one process.

    The loader takes `<bundle>/lite/sampling.json` or `<bundle>/lite/text_encoder.json`.
    """
    program = lite_program()
    processes: dict[Path, LiteProcess] = {}

    def load(path: Path) -> LoadedGraph:
        bundle = path.absolute().parent.parent
        if bundle not in processes:
            processes[bundle] = LiteProcess(program, bundle, num_threads)
        return _Graph(processes[bundle], path)

    return load


class _Graph:
    """One loaded graph. Names and order of its inputs and outputs are those of its plan."""

    def __init__(self, process: LiteProcess, path: Path) -> None:
        self._process = process
        self._path = path
        process.load(path.stem)
        plan = Fields(parse_json(path.read_text(encoding="utf-8"), path.name), path.name)
        self._inputs, self._outputs = (_names(plan.array(key)) for key in ("inputs", "outputs"))

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        results = self._process.run(self._path.stem, dict(zip(self._inputs, inputs, strict=True)))
        if list(results) != self._outputs:
            raise BackendError(f"{self._path} returned other outputs than its plan says; compile the bundle again")
        return tuple(results.values())


def _names(ports: list[JsonValue]) -> list[str]:
    """The first item of each port of a plan, which the program has checked."""
    return [str(port[0]) for port in ports if isinstance(port, list)]
