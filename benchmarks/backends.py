"""One bundle on MindSpore, MindSpore Lite and ONNX Runtime, beside loops on the host, on the CPU.

`python -m coopdraw.benchmarks.backends RECIPE`
The loops are how pipelines are deployed today: one file per network, and NumPy between them at every step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
import numpy as np

from coopdraw.benchmarks.bundles import compile_bundle, random_inputs, require_plain_loop
from coopdraw.benchmarks.pairs import Comparison, take_turns
from coopdraw.benchmarks.pieces import PiecewiseLoop, write_pieces
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.session import Session

OURS = ("mindspore", "lite", "onnx")
_Way = Callable[[], dict[str, np.ndarray]]


@click.command()
@click.argument("recipe", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=9, show_default=True, help="Timed runs of each way.")
@click.option("--num-threads", default=2, show_default=True, help="Threads of every backend.")
def main(recipe: Path, rounds: int, num_threads: int) -> None:
    """Times the bundle of RECIPE (time-decoupled, guidance with text only) on every backend, and the peers."""
    with tempfile.TemporaryDirectory(prefix="coopdraw-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        bundle = compile_bundle(recipe, folder / "ours.bundle")
        plain = compile_bundle(recipe, folder / "plain.bundle", "--passes", "none")
        require_plain_loop(recipe, plain.manifest)
        inputs = random_inputs(bundle.manifest.inputs)
        sessions = {name: stack.enter_context(Session(bundle, name, num_threads)) for name in OURS}
        ways: dict[str, _Way] = {name: partial(session.run, inputs) for name, session in sessions.items()}
        ways |= {
            "peer: MindIR per network": _peer(plain, folder / "mindir", "mindspore", inputs, num_threads),
            "peer: ONNX per network": _peer(plain, folder / "onnx", "onnx", inputs, num_threads),
        }
        _report(ways, rounds)


def _peer(plain: Bundle, folder: Path, backend: str, inputs: Mapping[str, np.ndarray], num_threads: int) -> _Way:
    folder.mkdir()
    if backend == "onnx":
        loop = PiecewiseLoop(plain.manifest, write_pieces(plain, folder, ".onnx"), num_threads, "onnx")
    else:
        loop = PiecewiseLoop(plain.manifest, write_pieces(plain, folder), num_threads)
    return lambda: loop.run(inputs)


def _report(ways: Mapping[str, _Way], rounds: int) -> None:
    latents = {name: way()["latent"] for name, way in ways.items()}
    seconds = take_turns(ways, rounds)
    reference = latents["peer: MindIR per network"]
    for name in ways:
        error = float(np.abs(latents[name] - reference).max() / np.ptp(reference))
        click.echo(f"{name}: largest difference of the latent from the first peer's {error:.1e} of its range")
    for ours in OURS:
        for theirs in (name for name in ways if name != ours):
            found = Comparison(seconds[ours], seconds[theirs])
            click.echo(f"{ours} is faster than {theirs} by {found.line()}")


if __name__ == "__main__":
    main()
