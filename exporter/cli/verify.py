"""`coopdraw verify`: does a bundle still compute what its recipe says?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coopdraw.exporter.cli.debug import debug_option

if TYPE_CHECKING:
    from coopdraw.exporter.half_precision import HalfPrecisionResult
    from coopdraw.exporter.parity import VerificationResult


@click.command("verify", short_help="Compare a bundle with a loop on the host.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--recipe", type=click.Path(path_type=Path), help="Also compare with the models of this recipe.")
@click.option("--trust-code", is_flag=True, help="Allow the recipe's `cell` keys to run code.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    default="float32",
    help="Emulate the networks in it, beside float32.",
)
@click.option(
    "--keep-float32",
    multiple=True,
    metavar="NAME",
    help="Instead of target.keep_float32: a model, function or Cell; repeatable, '' is none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    bundle: Path,
    recipe: Path | None,
    trust_code: bool,
    precision: str,
    keep_float32: tuple[str, ...],
    as_json: bool,
) -> None:
    """Checks BUNDLE: every file's hash, and the graph against a loop on the host. Exits with 1 if a check fails.

    With --precision float16 the graph is run in NumPy instead, in float32 and with its networks in float16 as a device
    would have them: do all values stay in range, and what becomes of the picture?

    \b
    Examples:
      coopdraw verify shapes.bundle
      coopdraw verify shapes.bundle --recipe shapes.toml --json
      coopdraw verify shapes.bundle --precision float16
      coopdraw verify shapes.bundle --precision float16 --keep-float32 vae --keep-float32 structure.unet/middle_block
    """
    from coopdraw.exporter.progress import Progress
    from coopdraw.exporter.recipe_reader import load_recipe
    from coopdraw.runtime.bundle import Bundle

    if keep_float32 and precision == "float32":
        raise click.UsageError("--keep-float32 is for half precision; add --precision float16")
    loaded = None if recipe is None else load_recipe(recipe, trust_code=trust_code)
    result: VerificationResult | HalfPrecisionResult
    if precision == "float32":
        from coopdraw.exporter.verification import verify_bundle

        result = verify_bundle(Bundle.open(bundle), loaded, Progress())
    else:
        from coopdraw.exporter.half_precision import verify_half
        from coopdraw.graphs.types import DType

        kept = [name for name in keep_float32 if name] if keep_float32 else None
        result = verify_half(Bundle.open(bundle), loaded, DType(precision), kept, Progress())
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=1, sort_keys=True, allow_nan=False))
    else:
        click.echo("\n".join(result.lines()))
    if not result.passed:
        ctx.exit(1)
