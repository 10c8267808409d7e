"""The static loop against the peer's way, on MindSpore and the CPU: `python -m coopdraw.benchmarks.static_loop RECIPE`.

The recipe is compiled twice, with all passes and with none. The networks of the second are written as one MindIR each
and driven by a loop on the host, as users do today; both ways are timed in turns, in one process. Both have the same
settings, oneDNN held to AVX2 included (without that the peer's convolutions take many times longer on some machines).
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import click
import numpy as np

from coopdraw.benchmarks.bundles import compile_bundle, random_inputs, require_plain_loop
from coopdraw.benchmarks.pairs import compare
from coopdraw.benchmarks.pieces import PiecewiseLoop, write_pieces
from coopdraw.runtime.session import Session


@click.command()
@click.argument("recipe", type=click.Path(exists=True, path_type=Path))
@click.option("--pairs", default=9, show_default=True, help="Timed runs of each way.")
@click.option("--num-threads", type=int, help="Threads of MindSpore; its own choice without it.")
@click.option("--disable-pass", "disabled", multiple=True, metavar="NAME", help="Leave this pass out of ours.")
def main(recipe: Path, pairs: int, num_threads: int | None, disabled: tuple[str, ...]) -> None:
    """Times the bundle of RECIPE (time-decoupled, guidance with text only) against one MindIR per network."""
    with tempfile.TemporaryDirectory(prefix="coopdraw-bench-") as name:
        folder = Path(name)
        off = [option for name in disabled for option in ("--disable-pass", name)]
        ours = compile_bundle(recipe, folder / "ours.bundle", *off)
        plain = compile_bundle(recipe, folder / "plain.bundle", "--passes", "none")
        require_plain_loop(recipe, plain.manifest)
        (folder / "pieces").mkdir()
        peer = PiecewiseLoop(plain.manifest, write_pieces(plain, folder / "pieces"), num_threads)
        with Session(ours, "mindspore", num_threads) as session:
            _report(recipe, session, peer, random_inputs(ours.manifest.inputs), pairs)


def _report(recipe: Path, session: Session, peer: PiecewiseLoop, inputs: dict[str, np.ndarray], pairs: int) -> None:
    ours, theirs = session.run(inputs)["latent"], peer.run(inputs)["latent"]
    error = float(np.abs(ours - theirs).max() / np.ptp(theirs))
    found = compare(lambda: session.run(inputs), lambda: peer.run(inputs), pairs)
    click.echo(f"{recipe.stem}: the static loop is faster than one MindIR per network by {found.line()}")
    click.echo(f"largest difference of the latents: {error:.1e} of their range")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"peak memory of this process, both ways loaded: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
