"""Runs an opened bundle: checks what goes in, and that what comes out is what the manifest promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from coopdraw.runtime.backends import LoadedGraph, open_backend
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.errors import BackendError, BundleError, InputError
from coopdraw.runtime.manifest import TensorSpec
from coopdraw.runtime.tensors import check_inputs


class Session:
    """A bundle on a backend. Graphs are loaded when they are first needed and dropped when the session closes.

    `num_threads` limits the backend's threads (None: its own choice); MindSpore has one such limit per process.
    """

    def __init__(self, bundle: Bundle, backend: str = "mindspore", num_threads: int | None = None) -> None:
        self.bundle = bundle
        self._backend = backend
        self._load: Callable[[Path], LoadedGraph] | None = open_backend(backend, num_threads)
        self._graphs: dict[Path, LoadedGraph] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drops the loaded graphs; the session can't be used afterwards."""
        self._graphs.clear()
        self._load = None

    def load(self) -> None:
        """Loads the sampling graph now instead of at the first run."""
        self._graph(self.bundle.graph_for(self._backend))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the sampling graph: arrays by input name in, arrays by output name out.

        Raises InputError for inputs that don't fit the manifest and BackendError when the backend fails.
        """
        manifest = self.bundle.manifest
        return self._run(self.bundle.graph_for(self._backend), manifest.outputs, check_inputs(manifest.inputs, inputs))

    def run_text_encoder(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the text encoder on token ids (B, context_length); raises InputError for ids that are no words."""
        encoder, path = self.bundle.manifest.text_encoder, self.bundle.text_encoder_for(self._backend)
        if encoder is None or path is None:
            raise BundleError(
                f"{self.bundle.folder} has no text encoder; compile it with pipeline.text_encoder or give its inputs"
            )
        (tokens,) = check_inputs((encoder.tokens,), {encoder.tokens.name: tokens})
        # A gather outside its table reads foreign memory on some devices.
        if tokens.min() < 0 or tokens.max() >= len(encoder.words):
            raise InputError(f"tokens must be from 0 to {len(encoder.words) - 1}; use the bundle's own words")
        return self._run(path, encoder.outputs, (tokens,))

    def _graph(self, path: Path) -> LoadedGraph:
        if self._load is None:
            raise BackendError("the session is closed; open another")
        if path not in self._graphs:
            self._graphs[path] = self._load(path)
        return self._graphs[path]

    def _run(self, path: Path, outputs: Sequence[TensorSpec], arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        results = self._graph(path)(arrays)
        if [(r.shape, r.dtype.name) for r in results] != [(spec.shape, spec.dtype) for spec in outputs]:
            raise BackendError(f"{path} returned other tensors than its manifest says; compile the bundle again")
        return {spec.name: result for spec, result in zip(outputs, results, strict=True)}
