"""`coopdraw diff`: what changed between two bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coopdraw.exporter.cli.debug import debug_option

if TYPE_CHECKING:
    from coopdraw.runtime.bundle import Bundle

DIFFERENT = 1


@click.command("diff", short_help="Show what changed between two bundles.")
@click.argument("before", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("after", metavar="OTHER", type=click.Path(path_type=Path))
@click.option("--function", "function", metavar="NAME", help="The lines of this function's text form that differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
@click.pass_context
def command(ctx: click.Context, before: Path, after: Path, function: str | None, as_json: bool) -> None:
    """Shows what changed from BUNDLE to OTHER. Exits with 0 if they are the same, with 1 if not.

    \b
    Examples:
      coopdraw diff shapes.bundle new.bundle
      coopdraw diff shapes.bundle new.bundle --function structure.unet
      coopdraw diff shapes.bundle new.bundle --json
    """
    from coopdraw.runtime.bundle import Bundle

    bundles = Bundle.open(before, check=False), Bundle.open(after, check=False)
    is_equal = _compare(*bundles, as_json) if function is None else _compare_function(*bundles, function, as_json)
    if not is_equal:
        ctx.exit(DIFFERENT)


def _compare(before: Bundle, after: Bundle, as_json: bool) -> bool:
    from coopdraw.exporter.reporting.bundle_diff import compare_bundles
    from coopdraw.exporter.reporting.diff_text import diff_lines
    from coopdraw.graphs.mindir.reader import read_mindir

    found = compare_bundles(before, after, lambda bundle: read_mindir(bundle.graph_path))
    click.echo(json.dumps(found.as_dict(), indent=1) if as_json else "\n".join(diff_lines(found)) or "no difference")
    return not found.sections()


def _compare_function(before: Bundle, after: Bundle, name: str, as_json: bool) -> bool:
    from coopdraw.exporter.reporting.function_diff import find_functions, function_diff
    from coopdraw.graphs.mindir.reader import read_mindir

    graphs = find_functions(read_mindir(before.graph_path), read_mindir(after.graph_path), name)
    lines = function_diff(*graphs)
    if as_json:
        click.echo(json.dumps({"equal": not lines, "function": name, "diff": lines}, indent=1))
    elif lines:
        click.echo("\n".join([f"--- {before.folder}: {name}", f"+++ {after.folder}: {name}", *lines]))
    else:
        click.echo("no difference")
    return not lines
