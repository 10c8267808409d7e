"""The backends that can run a bundle, imported only when one is chosen.

A backend is a module of this package with `open_backend(num_threads) -> (path -> LoadedGraph)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from coopdraw.runtime.errors import BackendError

if TYPE_CHECKING:
    import numpy as np

BACKENDS = ("mindspore", "lite", "onnx", "ascend")


class LoadedGraph(Protocol):
    """A graph that is ready to run."""

    def __call__(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs in the graph's order; raises BackendError when the run fails."""


def open_backend(name: str, num_threads: int | None) -> Callable[[Path], LoadedGraph]:
    """The loader of a backend; raises BackendError when there is no such backend or it isn't installed."""
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name}; choose one of {', '.join(BACKENDS)}")
    if num_threads is not None and num_threads < 1:
        raise BackendError(f"a backend cannot run on {num_threads} threads; give at least 1")
    module = importlib.import_module(f"coopdraw.runtime.backends.{name}")
    loader: Callable[[Path], LoadedGraph] = module.open_backend(num_threads)
    return loader
