"""The peer: one file per network and a Python loop that carries arrays between them at every step.

Source: mindspore-lab/mindone examples/stable_diffusion_xl/offline_inference, whose loop this is in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.onnx.writer import write_onnx
from coopdraw.runtime.backends import LoadedGraph, open_backend
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.manifest import Manifest


def write_pieces(bundle: Bundle, folder: Path, ending: Literal[".mindir", ".onnx"] = ".mindir") -> dict[str, Path]:
    """Each network of a bundle that was compiled without passes as a file of its own; paths by function."""
    module = read_mindir(bundle.graph_path)
    networks = [f"{name}.unet" for name in {step.model for step in bundle.manifest.steps}]
    paths = {}
    for name in (*sorted(networks), _decoder(bundle.manifest)):
        graph = module.functions[name]
        used = set(graph.weight_names())
        piece = Module(graph, {}, {key: weight for key, weight in module.weights.items() if key in used})
        paths[name] = folder / f"{name}{ending}"
        if ending == ".mindir":
            write_mindir(piece, paths[name])
        else:
            write_onnx(piece, paths[name])
    return paths


class PiecewiseLoop:
    """Time-decoupled sampling with guidance, network by network; `manifest` has schedule and guidance."""

    def __init__(
        self,
        manifest: Manifest,
        pieces: Mapping[str, Path],
        num_threads: int | None = None,
        backend: Literal["mindspore", "onnx"] = "mindspore",
    ) -> None:
        load = open_backend(backend, num_threads)
        self._manifest = manifest
        self._graphs: dict[str, LoadedGraph] = {name: load(path) for name, path in pieces.items()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`latent` and `image` from the inputs of the sampling graph."""
        steps = self._manifest.steps
        scale = np.float32(_pipeline(self._manifest)["guidance"]["text"])
        conditions = self._conditions(inputs)
        x = inputs["noise"] * np.float32(np.sqrt(1.0 + steps[0].sigma ** 2))
        for step in steps:
            batch = np.concatenate([x, x]) / np.float32(np.sqrt(step.sigma**2 + 1.0))
            (epsilon,) = self._graphs[f"{step.model}.unet"]([batch, np.array([step.t], np.float32), *conditions])
            uncond, text = np.split(epsilon, 2)
            denoised = x - np.float32(step.sigma) * (uncond + scale * (text - uncond))
            slope = (x - denoised) / np.float32(step.sigma)
            x = x + slope * np.float32(step.sigma_next - step.sigma)
        (decoded,) = self._graphs[_decoder(self._manifest)]([x])
        return {"latent": x, "image": np.clip(decoded * 0.5 + 0.5, 0.0, 1.0)}

    def _conditions(self, inputs: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        kinds = [kind for kind in ("context", "vector") if f"{kind}.text" in inputs]
        return [np.concatenate([inputs[f"{kind}.uncond"], inputs[f"{kind}.text"]]) for kind in kinds]


def _decoder(manifest: Manifest) -> str:
    return f"{_pipeline(manifest)['vae']}.decode"


def _pipeline(manifest: Manifest) -> Mapping[str, Any]:
    table = manifest.recipe["pipeline"]
    assert isinstance(table, dict)
    return table
