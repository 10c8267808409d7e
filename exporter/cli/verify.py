"""`coopdraw verify`: does a bundle still compute what its recipe says?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from coopdraw.exporter.cli.debug import debug_option


@click.command("verify", short_help="Compare a bundle with a loop on the host.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--recipe", type=click.Path(path_type=Path), help="Also compare with the models of this recipe.")
@click.option("--trust-code", is_flag=True, help="Allow the recipe's `cell` keys to run code.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@debug_option
@click.pass_context
def command(ctx: click.Context, bundle: Path, recipe: Path | None, trust_code: bool, as_json: bool) -> None:
    """Checks BUNDLE: every file's hash, and the graph against a loop on the host. Exits with 1 if a check fails.

    \b
    Examples:
      coopdraw verify shapes.bundle
      coopdraw verify shapes.bundle --recipe shapes.toml --json
    """
    from coopdraw.exporter.progress import Progress
    from coopdraw.exporter.recipe_reader import load_recipe
    from coopdraw.exporter.verification import verify_bundle
    from coopdraw.runtime.bundle import Bundle

    loaded = None if recipe is None else load_recipe(recipe, trust_code=trust_code)
    result = verify_bundle(Bundle.open(bundle), loaded, Progress())
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=1, sort_keys=True))
    else:
        click.echo("\n".join(result.lines()))
    if not result.passed:
        ctx.exit(1)
