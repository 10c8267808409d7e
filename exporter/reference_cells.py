"""Networks of a pipeline called one by one from Python, as the reference that a compiled graph is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.exporter.loading import LoadedCell
from coopdraw.exporter.models.build import load_eagerly
from coopdraw.graphs.interpreter import run

EAGER, INTERPRETED = "eager Cell", "traced Cell in NumPy"


class ReferenceCell:
    """A Cell with its weights in memory, called in MindSpore's PyNative mode.

    A Cell whose primitives have no CPU kernel (`mindspore.mint` has some) can't be: then its trace, before any pass,
    runs on the NumPy interpreter. `executor` says which of the two it is.
    """

    def __init__(self, loaded: LoadedCell) -> None:
        import mindspore

        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
        self._loaded = loaded
        self._cell = load_eagerly(loaded.cell, loaded.weights)
        self._tensor = mindspore.Tensor
        self.executor = EAGER if self._has_kernels() else INTERPRETED
        self._module = None if self.executor == EAGER else loaded.trace()

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The Cell's outputs for its inputs in order."""
        if self._module is None:
            return self._call_eagerly(arrays)
        feeds = dict(zip(self._loaded.inputs, arrays, strict=True))
        return list(run(self._module, feeds).values())

    def first(self, *arrays: np.ndarray) -> np.ndarray:
        """The first output."""
        return self(*arrays)[0]

    def _call_eagerly(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        results = self._cell(*(self._tensor(array) for array in arrays))
        return [result.asnumpy() for result in (results if isinstance(results, tuple) else (results,))]

    def _has_kernels(self) -> bool:
        zeros = [np.zeros(type.shape, type.dtype.numpy) for type in self._loaded.inputs.values()]
        try:
            self._call_eagerly(zeros)
        except (RuntimeError, TypeError, ValueError):
            return False
        return True
