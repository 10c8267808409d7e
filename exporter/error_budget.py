"""What every transfer between latent spaces costs: its round trip, measured in the artifact, and the 1/sigma law."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.exporter.host_resize import resize
from coopdraw.exporter.loading import Pipeline
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.runtime.backends import open_backend


@dataclass(frozen=True)
class TransferError:
    """One transfer at one step.

    `round_trip` is the root mean square of E(D(z)) - z in the space it ends in. That error dz0 of a clean prediction is
    worth `epsilon_error` = share * dz0 / sigma of predicted noise, which has standard deviation 1 (arXiv 2312.16486:
    the fused epsilon is (z - sqrt(abar) z0)/sqrt(1 - abar)); the share of a partner is its strength.
    """

    step: int
    transfer: str
    sigma: float
    round_trip: float
    epsilon_error: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, three digits."""
        rounded = {name: float(f"{getattr(self, name):.3g}") for name in ("sigma", "round_trip", "epsilon_error")}
        return {**asdict(self), **rounded}


def measure_error_budget(graph: Path, pipeline: Pipeline, image: np.ndarray) -> tuple[TransferError, ...]:
    """The budget of every step that has transfers; `image` (B, 3, H, W) in [0, 1] is what is sent around."""
    targets = dict.fromkeys(transfer.target for planned in pipeline.plan for transfer in planned.transfers())
    module = read_mindir(graph)
    trips = {target: _round_trip(module, pipeline, target, image * 2 - 1) for target in targets}
    entries = []
    for planned in pipeline.plan:
        shares = {f"bridge.{b.partner}_to_{planned.space}": b.strength for b in planned.partners}
        for transfer in planned.transfers():
            share = shares.get(transfer.function, 1.0)
            trip, sigma = trips[transfer.target], planned.step.sigma
            entries.append(TransferError(planned.step.index, transfer.function, sigma, trip, share * trip / sigma))
    return tuple(entries)


def _round_trip(module: Module, pipeline: Pipeline, space: str, image: np.ndarray) -> float:
    """RMS of encode(decode(z)) - z, run by the backend that runs the graph, z an encoded picture."""
    cells = pipeline.spaces[space]
    if cells.decoder is None or cells.encoder is None:
        raise ValueError(f"space {space} is carried to, but lacks a half of its VAE")
    probe = _probe(module, cells.decoder.function, cells.encoder.function)
    (picture,) = probe.entry.inputs
    height, width = picture.type.shape[2:]
    sized = resize(image, (height, width), "bilinear").astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mindir"
        write_mindir(probe, path)
        latent, again = open_backend("mindspore", None)(path)([sized])
    return float(np.sqrt(np.mean((again.astype(np.float64) - latent) ** 2)))


def _probe(module: Module, decode: str, encode: str) -> Module:
    """image -> (latent, latent after a round trip), with the functions and weights of the compiled graph."""
    builder = GraphBuilder("probe")
    encoder, decoder = module.functions[encode], module.functions[decode]
    image = builder.input("image", encoder.inputs[0].type)
    (latent,) = builder.call(encoder, image)
    (picture,) = builder.call(decoder, latent)
    (again,) = builder.call(encoder, picture)
    whole = Module(builder.build([latent, again], ["latent", "again"]), module.functions, module.weights)
    return DeadCode().run(whole).module


def worst(budget: tuple[TransferError, ...]) -> Mapping[str, float]:
    """The largest epsilon error of each transfer."""
    found: dict[str, float] = {}
    for entry in budget:
        found[entry.transfer] = max(found.get(entry.transfer, 0.0), entry.epsilon_error)
    return found
