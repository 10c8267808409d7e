"""`coopdraw compile`: recipe in, bundle out."""

from __future__ import annotations

from pathlib import Path

import click

from coopdraw.exporter.cli.debug import debug_option


@click.command("compile", short_help="Compile a recipe into a bundle.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle.")
@click.option("--force", is_flag=True, help="Replace the bundle that is there.")
@click.option("--no-verify", is_flag=True, help="Don't compare the bundle with a host loop.")
@click.option(
    "--target",
    type=click.Choice(["cpu", "ascend910b", "ascend310p"]),
    help="Instead of the recipe's target.name: what an Atlas host needs comes on top.",
)
@click.option("--passes", type=click.Choice(["full", "basic", "none"]), help="Instead of the recipe's passes.level.")
@click.option("--disable-pass", "disabled", multiple=True, metavar="NAME", help="Leave it out; repeatable.")
@click.option("--no-kernels", is_flag=True, help="Take fused operators apart instead of the recipe's target.kernels.")
@click.option("--dump-ir", type=click.Path(path_type=Path), metavar="DIR", help="Write the IR after every pass there.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Write timings and passes as JSON.")
@click.option("--trust-code", is_flag=True, help="Allow the recipe's `cell` keys to run code.")
@debug_option
def command(
    recipe: Path,
    output: Path,
    force: bool,
    no_verify: bool,
    target: str | None,
    passes: str | None,
    disabled: tuple[str, ...],
    no_kernels: bool,
    dump_ir: Path | None,
    report: Path | None,
    trust_code: bool,
) -> None:
    """Compiles the pipeline of RECIPE (a TOML file) into a bundle: one folder with one static sampling graph.

    \b
    Examples:
      coopdraw compile shapes.toml -o shapes.bundle
      coopdraw compile shapes.toml -o shapes.bundle --force --report report.json
      coopdraw compile shapes.toml -o shapes.bundle --target ascend910b
    """
    _check_output(output, force)
    from coopdraw.exporter.compiler import compile_pipeline
    from coopdraw.exporter.progress import Progress
    from coopdraw.exporter.recipe_reader import load_recipe

    wanted = {"level": passes, "disabled": list(disabled)}
    changes: dict[str, dict[str, object]] = {"passes": {key: value for key, value in wanted.items() if value}}
    changes["target"] = {"kernels": False} if no_kernels else {}
    if target is not None:
        changes["target"]["name"] = target
    loaded = load_recipe(recipe, trust_code=trust_code, changes=changes)
    compile_pipeline(loaded, output, verify=not no_verify, dump_ir=dump_ir, report=report, progress=Progress())
    click.echo(f"wrote {output}")


def _check_output(output: Path, force: bool) -> None:
    """Refuses early what would be found out after minutes of work."""
    from coopdraw.runtime.errors import BundleError
    from coopdraw.runtime.manifest import MANIFEST_NAME

    if output.is_symlink() or output.exists():
        if not (output / MANIFEST_NAME).is_file() or output.is_symlink():
            raise BundleError(f"{output} exists and is no bundle; choose another folder with -o")
        if not force:
            raise BundleError(f"{output} exists; add --force to replace it or choose another folder with -o")
    elif not output.absolute().parent.is_dir():
        raise BundleError(f"{output.absolute().parent} is not a folder; make it or choose another folder with -o")
