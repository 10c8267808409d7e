"""A bundle with all passes and kernels against one with none, on MindSpore and the CPU.

`python -m coopdraw.benchmarks.optimisations RECIPE ...`
Both are static graphs of the same recipe; what differs is what the compiler does to them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np

from coopdraw.benchmarks.bundles import compile_bundle, random_inputs
from coopdraw.benchmarks.pairs import compare
from coopdraw.runtime.session import Session


@click.command()
@click.argument("recipes", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--pairs", default=9, show_default=True, help="Timed runs of each way.")
@click.option("--num-threads", type=int, help="Threads of MindSpore; its own choice without it.")
def main(recipes: tuple[Path, ...], pairs: int, num_threads: int | None) -> None:
    """Times every RECIPE compiled with all passes and kernels against the same without any."""
    for recipe in recipes:
        with tempfile.TemporaryDirectory(prefix="coopdraw-bench-") as name:
            _compare(recipe, Path(name), pairs, num_threads)


def _compare(recipe: Path, folder: Path, pairs: int, num_threads: int | None) -> None:
    optimised = compile_bundle(recipe, folder / "optimised.bundle")
    plain = compile_bundle(recipe, folder / "plain.bundle", "--passes", "none", "--no-kernels")
    inputs = random_inputs(optimised.manifest.inputs)
    with Session(optimised, "mindspore", num_threads) as ours, Session(plain, "mindspore", num_threads) as theirs:
        first, second = ours.run(inputs)["latent"], theirs.run(inputs)["latent"]
        found = compare(lambda: ours.run(inputs), lambda: theirs.run(inputs), pairs)
    error = float(np.abs(first - second).max() / np.ptp(second))
    click.echo(f"{recipe.stem}: passes and kernels make it faster by {found.line()}")
    click.echo(f"largest difference of the latents: {error:.1e} of their range")


if __name__ == "__main__":
    main()
