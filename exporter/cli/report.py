"""`coopdraw report`: a bundle as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from coopdraw.exporter.cli.debug import debug_option
from coopdraw.exporter.cli.files import replaced_file


@click.command("report", short_help="Describe a bundle on one HTML page.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="HTML", help="Where the page goes."
)
@debug_option
def command(bundle: Path, output: Path) -> None:
    """Writes what is in BUNDLE to one HTML file: plan, functions and their cost, passes, verification, weights, files.

    The file needs no network and no scripts. Every file of the bundle is checked against its hash first.

    \b
    Examples:
      coopdraw report shapes.bundle -o shapes.html
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"-o {output} must end with .html")
    if output.is_dir():
        raise click.UsageError(f"-o {output} is a folder; give a file")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise click.UsageError(f"{folder} is not a folder; make it or write elsewhere")
    if folder.resolve().is_relative_to(bundle.resolve()):
        raise click.UsageError(
            f"-o {output} is inside the bundle, which has only files of its manifest; write elsewhere"
        )

    from coopdraw.exporter.reporting.page import render_report
    from coopdraw.graphs.mindir.reader import read_mindir
    from coopdraw.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    page = render_report(opened, read_mindir(opened.graph_path))
    with replaced_file(output) as file:
        file.write(page.encode())
    click.echo(f"wrote {output}")
