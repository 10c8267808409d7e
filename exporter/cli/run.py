"""`coopdraw run`: pictures from captions, or tensors from tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coopdraw.exporter.cli.debug import debug_option
from coopdraw.exporter.cli.files import replaced_file
from coopdraw.runtime.backends import BACKENDS

if TYPE_CHECKING:
    import numpy as np

    from coopdraw.exporter.progress import Progress
    from coopdraw.runtime.bundle import Bundle
    from coopdraw.runtime.session import Session


_START, _MASK = "image", "mask"
AUTO = "auto"


@click.command("run", short_help="Draw pictures, or run on tensors.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="Caption; several make a sheet of pictures.")
@click.option("--branch", "branches", multiple=True, metavar="NAME=TEXT", help="Caption of another guidance branch.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="[NAME=]FILE",
    help="Picture to start from, or with a NAME the control picture of an adapter.",
)
@click.option("--mask", type=click.Path(path_type=Path), metavar="FILE", help="White where --image is painted anew.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PNG", help="Where the picture goes.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of the first picture; the next has one more. [default: 0]"
)
@click.option("--inputs", type=click.Path(path_type=Path), metavar="NPZ", help="Input tensors by name.")
@click.option("--outputs", type=click.Path(path_type=Path), metavar="NPZ", help="Where the output tensors go.")
@click.option(
    "--backend",
    type=click.Choice([*BACKENDS, AUTO]),
    default=BACKENDS[0],
    show_default=True,
    help=f"{AUTO} is lite where it can be, else {BACKENDS[0]}.",
)
@click.option("--num-threads", type=click.IntRange(min=1), help="Threads of the backend. [default: its choice]")
@debug_option
def command(
    bundle: Path,
    prompts: tuple[str, ...],
    branches: tuple[str, ...],
    images: tuple[str, ...],
    mask: Path | None,
    output: Path | None,
    seed: int | None,
    inputs: Path | None,
    outputs: Path | None,
    backend: str,
    num_threads: int | None,
) -> None:
    """Runs BUNDLE: on captions (--prompt, -o) or on tensors (--inputs, --outputs).

    With a batch of several pictures, one prompt fills the batch.

    \b
    Examples:
      coopdraw run shapes.bundle --prompt "red ring striped blue" -o ring.png
      coopdraw run shapes.bundle --prompt "red ring" --prompt "blue cross" --seed 7 -o sheet.png
      coopdraw run edges.bundle --prompt "red ring solid blue" --image edges=outline.png -o ring.png
      coopdraw run inpaint.bundle --prompt "red ring solid blue" --image old.png --mask mask.png -o new.png
      coopdraw run shapes.bundle --inputs in.npz --outputs out.npz
    """
    on_captions = bool(prompts or branches or images or mask or output or seed is not None)
    on_tensors = bool(inputs or outputs)
    if on_captions == on_tensors:
        raise click.UsageError("give either --prompt and -o, or --inputs and --outputs")
    captions = _parse_pairs("--branch", branches)
    if "text" in captions:
        raise click.UsageError("branch text has two captions; branch text is --prompt")
    # Without a name it is the start picture, whose input is called `image`.
    pictures = _parse_pairs("--image", [image if "=" in image else f"{_START}={image}" for image in images])
    if on_captions and not (prompts and output):
        raise click.UsageError(f"{'-o' if prompts else '--prompt'} is missing; captions need --prompt and -o")
    if on_tensors and not (inputs and outputs):
        raise click.UsageError(f"{'--outputs' if inputs else '--inputs'} is missing; tensors need both")
    if output is not None and output.suffix.lower() != ".png":
        raise click.UsageError(f"-o {output} must end with .png")

    for path in (output, outputs):
        if path is not None and not path.absolute().parent.is_dir():
            raise click.UsageError(f"{path.absolute().parent} is not a folder; make it or write elsewhere")

    from coopdraw.exporter.progress import Progress

    progress = Progress()
    progress.expect(3)
    with _open_session(bundle, backend, num_threads, progress) as session:
        if inputs is not None and outputs is not None:
            _run_on_tensors(session, inputs, outputs, progress)
        elif output is not None:
            _run_on_captions(session, prompts, captions, pictures, mask, seed or 0, output, progress)


def _parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE options by name."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} {pair!r} must be NAME={'FILE' if option == '--image' else 'TEXT'}")
        if name in found:
            raise click.UsageError(f"{option} {name} is given twice; give it once")
        found[name] = value
    return found


def _read_images(session: Session, images: dict[str, str], mask: Path | None) -> dict[str, np.ndarray]:
    """Start picture, mask and control pictures by input name."""
    from coopdraw.runtime.image import read_picture

    shapes = {spec.name: spec.shape for spec in session.bundle.manifest.inputs}
    adapters = [name.removesuffix(".image") for name in shapes if name.endswith(".image")]
    files: dict[str, Path] = {}
    for name, file in images.items():
        if name in adapters:
            files[f"{name}.image"] = Path(file)
        elif name == _START and _START in shapes:
            files[_START] = Path(file)
        elif name == _START:
            raise click.UsageError("the bundle doesn't start from a picture; compile a recipe with [start] for --image")
        else:
            known = ", ".join(adapters) or "none"
            raise click.UsageError(f"--image {name} names no adapter of the bundle; it has {known}")
    if mask is not None and _MASK not in shapes:
        raise click.UsageError("the bundle takes no mask; compile a recipe with [start] and mask = true for --mask")
    if mask is not None:
        files[_MASK] = mask
    return {name: read_picture(file, shapes[name]) for name, file in files.items()}


def _open_session(folder: Path, backend: str, num_threads: int | None, progress: Progress) -> Session:
    from coopdraw.runtime.bundle import Bundle
    from coopdraw.runtime.errors import BackendError, BundleError

    with progress.stage("check files"):
        bundle = Bundle.open(folder)
    if backend == AUTO:
        try:
            return _load(bundle, "lite", num_threads, progress)
        except (BackendError, BundleError) as error:
            backend = BACKENDS[0]
            progress.expect(2)
            progress.note(f"{backend} is used instead of MindSpore Lite: {error}")
    return _load(bundle, backend, num_threads, progress)


def _load(bundle: Bundle, backend: str, num_threads: int | None, progress: Progress) -> Session:
    from coopdraw.runtime.session import Session

    with progress.stage(f"load with {backend}"):
        session = Session(bundle, backend, num_threads)
        session.load()
    return session


def _run_on_tensors(session: Session, inputs: Path, outputs: Path, progress: Progress) -> None:
    from coopdraw.runtime.npz import read_npz, write_npz

    arrays = read_npz(inputs)
    with progress.stage("run"):
        results = session.run(arrays)
    with replaced_file(outputs) as file:
        write_npz(file, results)
    click.echo(f"wrote {outputs}: {', '.join(f'{name} {array.shape}' for name, array in results.items())}")


def _run_on_captions(
    session: Session,
    prompts: Sequence[str],
    captions: dict[str, str],
    images: dict[str, str],
    mask: Path | None,
    seed: int,
    output: Path,
    progress: Progress,
) -> None:
    from coopdraw.runtime.image import draw_sheet, to_pictures, write_png
    from coopdraw.runtime.prompt import draw_pictures

    given = _read_images(session, images, mask)
    with progress.stage("run"):
        pictures = to_pictures(draw_pictures(session, prompts, seed, captions, given, progress.step))
    below = list(prompts) if len(prompts) == len(pictures) else list(prompts) * len(pictures)
    picture = pictures[0] if len(pictures) == 1 else draw_sheet(pictures, below)
    with replaced_file(output) as file:
        write_png(file, picture)
    seeds = f"seed {seed}" if len(pictures) == 1 else f"seeds {seed} to {seed + len(pictures) - 1}"
    click.echo(f"wrote {output}: {len(pictures)} picture{'s' if len(pictures) > 1 else ''}, {seeds}")
