"""Networks of a pipeline called one by one from Python, as the reference that a compiled graph is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from coopdraw.exporter.host_loop import HostModels
from coopdraw.exporter.loading import Pipeline
from coopdraw.exporter.models.build import load_eagerly
from coopdraw.exporter.networks import LoadedCell
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module
from coopdraw.graphs.sampling.adapters import FEATURE, RESIDUAL
from coopdraw.graphs.types import TensorType

EAGER, INTERPRETED = "eager Cell", "traced Cell in NumPy"


class ReferenceCell:
    """A Cell with its weights in memory, called in MindSpore's PyNative mode.

    A Cell whose primitives have no CPU kernel (`mindspore.mint` has some) can't be: then its trace, before any pass,
    runs on the NumPy interpreter. `executor` says which of the two it is. Either takes any batch.
    """

    def __init__(self, loaded: LoadedCell) -> None:
        import mindspore

        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
        self.loaded = loaded
        self._cell = load_eagerly(loaded.cell, loaded.weights)
        self._tensor = mindspore.Tensor
        self.executor = EAGER if self._has_kernels() else INTERPRETED
        self._traced: dict[tuple[TensorType, ...], Module] = {}

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The Cell's outputs for its inputs in order."""
        if self.executor == EAGER:
            return self._call_eagerly(arrays)
        feeds = dict(zip(self.loaded.inputs, arrays, strict=True))
        return list(run(self._trace(feeds), feeds).values())

    def first(self, *arrays: np.ndarray) -> np.ndarray:
        """The first output."""
        return self(*arrays)[0]

    def _call_eagerly(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        results = self._cell(*(self._tensor(array) for array in arrays))
        return [result.asnumpy() for result in (results if isinstance(results, tuple) else (results,))]

    def _trace(self, feeds: Mapping[str, np.ndarray]) -> Module:
        """The Cell's trace for inputs of these shapes."""
        inputs = {name: TensorType.of(array) for name, array in feeds.items()}
        types = tuple(inputs.values())
        if types not in self._traced:
            self._traced[types] = replace(self.loaded, inputs=inputs).trace()
        return self._traced[types]

    def _has_kernels(self) -> bool:
        zeros = [np.zeros(type.shape, type.dtype.numpy) for type in self.loaded.inputs.values()]
        try:
            self._call_eagerly(zeros)
        except (RuntimeError, TypeError, ValueError):
            return False
        return True

    def predict(
        self, *arrays: np.ndarray, residuals: Sequence[np.ndarray] = (), features: Sequence[np.ndarray] = ()
    ) -> np.ndarray:
        """A UNet's epsilon for latent, timestep and those of the conditions that it takes.

        Residuals and features that it takes and aren't given are zeros, which leave the UNet as it is without them.
        Raises ValueError for one that it doesn't take: then graph and host loop disagree on which adapters act.
        """
        added = {f"{RESIDUAL}{index}": array for index, array in enumerate(residuals)}
        added |= {f"{FEATURE}{index}": array for index, array in enumerate(features)}
        unknown = added.keys() - self.loaded.inputs.keys()
        if unknown:
            raise ValueError(f"{self.loaded.function} was given {', '.join(sorted(unknown))}, which it doesn't take")
        batch, conditions = len(arrays[0]), iter(arrays)
        complete = []
        for name, type in self.loaded.inputs.items():
            if name.startswith((RESIDUAL, FEATURE)):
                complete.append(added.get(name, np.zeros((batch, *type.shape[1:]), type.dtype.numpy)))
            else:
                complete.append(next(conditions))
        return self(*complete)[0]

    def control(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """A ControlNet's residuals for latent, timestep, those of the conditions that it takes, and the hint."""
        *conditions, hint = arrays
        return self(*conditions[: len(self.loaded.inputs) - 1], hint)


class References:
    """All networks of a pipeline, as the host loop calls them."""

    def __init__(self, pipeline: Pipeline) -> None:
        unets = {name: _any(batches) for name, batches in pipeline.unets.items()}
        hints = {name: control.hint for name, control in pipeline.controls.items()}
        controls = {name: _any(control.networks) for name, control in pipeline.controls.items()}
        halves = [half for space in pipeline.spaces.values() for half in (space.decoder, space.encoder)]
        found = (*unets.values(), *hints.values(), *controls.values(), *pipeline.t2i_adapters.values(), *halves)
        loaded = {cell.function: cell for cell in found if cell is not None}
        cells = {function: ReferenceCell(cell) for function, cell in loaded.items()}
        spaces = pipeline.spaces.values()
        self._cells = list(cells.values())
        distinct = {cell.function: cell for cell in pipeline.text_encoders.values()}
        self.text_encoders = [ReferenceCell(cell) for cell in distinct.values()]
        self.models = HostModels(
            predict={name: cells[cell.function].predict for name, cell in unets.items()},
            decode={space.vae: cells[space.decoder.function].first for space in spaces if space.decoder is not None},
            encode={space.vae: cells[space.encoder.function].first for space in spaces if space.encoder is not None},
            hint={name: cells[cell.function].first for name, cell in hints.items()},
            control={name: cells[cell.function].control for name, cell in controls.items()},
            features={name: cells[cell.function] for name, cell in pipeline.t2i_adapters.items()},
            latent_shapes={name: pipeline.spaces[pipeline.space_of(name)].latent.shape for name in pipeline.unets},
        )

    def executors(self) -> dict[str, str]:
        """What runs each model."""
        return {cell.loaded.function: cell.executor for cell in (*self._cells, *self.text_encoders)}


def _any(batches: Mapping[int, LoadedCell]) -> LoadedCell:
    """One of the batches that a network is traced with: its Cell takes the others, too."""
    return next(iter(batches.values()))
