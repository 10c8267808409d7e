"""Runs `.mindir` graphs with MindSpore on the CPU, in GRAPH_MODE."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from coopdraw.runtime.backends import LoadedGraph
from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.kernel_library import kernel_folder, standing_in


def open_backend(num_threads: int | None) -> Callable[[Path], LoadedGraph]:
    """Imports MindSpore and sets its process-wide context."""
    prepare_environment()
    if num_threads is not None:
        # The kernels of a bundle read it once, when they first run.
        os.environ["COOPDRAW_THREADS"] = str(num_threads)
    try:
        import mindspore
    except ImportError as error:
        raise BackendError(f"MindSpore cannot be imported ({error}); `pip install mindspore==2.10.0`") from error
    try:
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
        # A process that has run something before can't set its device any more, not even to the same one.
        if mindspore.get_context("device_target") != "CPU":
            mindspore.set_device("CPU")
        if num_threads is not None:
            mindspore.set_context(runtime_num_threads=num_threads)
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"MindSpore cannot use the CPU: {_first_line(error)}; run `coopdraw doctor`") from error
    return lambda path: _Graph(mindspore, path)


def prepare_environment() -> None:
    """Settings that MindSpore reads once, when it is imported; what the user has set stays.

    Its log is off: what fails comes as an exception. Its oneDNN is held to AVX2: with AVX-512, the one in MindSpore
    2.10 runs convolutions on its reference code (measured: 40 to 170 times slower).
    """
    os.environ.setdefault("GLOG_v", "4")
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


class _Graph:
    """One loaded `.mindir`. GraphCell doesn't check shapes: the session does."""

    def __init__(self, mindspore: ModuleType, path: Path) -> None:
        self._path = path
        self._mindspore = mindspore
        self._kernels = kernel_folder(path.parent)
        try:
            self._cell = mindspore.nn.GraphCell(mindspore.load(str(path)))
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise BackendError(
                f"MindSpore cannot load {path}: {_first_line(error)}; compile the bundle again"
            ) from error

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        try:
            arguments = [self._mindspore.Tensor(array) for array in inputs]
            if self._kernels is not None:
                self._compile(self._kernels, arguments)
                self._kernels = None
            results = self._cell(*arguments)
            tensors = results if isinstance(results, (tuple, list)) else (results,)
            return tuple(tensor.asnumpy() for tensor in tensors)
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise BackendError(
                f"MindSpore failed in {self._path}: {_first_line(error)}; run `coopdraw doctor`"
            ) from error

    def _compile(self, kernels: Path, arguments: Sequence[Any]) -> None:
        """What GraphCell's first call does before it runs: paths of kernels are resolved then, and only then."""
        phase = "graph_load_from_mindir"
        self._cell.phase = phase
        self._cell._add_attr(phase, self._cell.graph)
        with standing_in(kernels):
            self._cell.compile(*arguments)


def _first_line(error: Exception) -> str:
    """MindSpore's messages go on with call stacks."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(" .:;") if lines else type(error).__name__
