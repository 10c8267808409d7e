"""`coopdraw cost`: what a recipe's loop costs, before and after the passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coopdraw.exporter.cli.debug import debug_option

if TYPE_CHECKING:
    from rich.table import Table

    from coopdraw.exporter.cost import LoopCost


_TABLE_WIDTH = 96
"""Columns that the table of passes needs for whole names; a narrower terminal wraps its lines."""


@click.command("cost", short_help="What a recipe's loop costs before and after the passes.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--trust-code", is_flag=True, help="Allow the recipe's `cell` keys to run code.")
@debug_option
def command(recipe: Path, as_json: bool, trust_code: bool) -> None:
    """Counts the floating-point operations and bytes of the whole loop of RECIPE, as traced and as compiled.

    Nothing is written and no checkpoint is read as a whole; models may have weights = "random".

    \b
    Examples:
      coopdraw cost shapes.toml
      coopdraw cost pangu_draw.toml --json
    """
    from coopdraw.exporter.cost import cost_of
    from coopdraw.exporter.progress import Progress
    from coopdraw.exporter.recipe_reader import load_recipe

    found = cost_of(load_recipe(recipe, trust_code=trust_code), Progress())
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        _print(found)


def _print(cost: LoopCost) -> None:
    from rich.console import Console

    from coopdraw.exporter.reporting.figures import size_text

    console = Console(highlight=False, markup=False)
    console.print(f"one run of the loop, {cost.steps} steps")
    console.print(_totals(cost))
    Console(width=max(console.width, _TABLE_WIDTH)).print(_passes(cost))
    fused = ", ".join(f"{name} {count}" for name, count in cost.fusions.items())
    console.print(f"fused operators: {fused or 'none'}")
    peak = " > ".join(f"{graph} {node.where()}" for graph, node in cost.compiled_memory.peak)
    console.print(f"most activations are alive, {size_text(cost.compiled_memory.peak_bytes)}, at {peak}")


def _totals(cost: LoopCost) -> Table:
    from rich.table import Table

    from coopdraw.exporter.reporting.figures import count_text, size_text

    table = Table("", "traced", "compiled", "ratio", box=None)
    before, after = cost.traced, cost.compiled
    old_memory, new_memory = cost.traced_memory, cost.compiled_memory
    rows = [
        ("FLOPs", count_text, before.flops, after.flops),
        ("FLOPs a step", count_text, before.flops / cost.steps, after.flops / cost.steps),
        ("bytes moved", size_text, before.bytes_moved, after.bytes_moved),
        ("bytes moved a step", size_text, before.bytes_moved / cost.steps, after.bytes_moved / cost.steps),
        ("nodes", count_text, before.nodes, after.nodes),
        ("weights", size_text, before.weight_bytes, after.weight_bytes),
        ("constants", size_text, before.constant_bytes, after.constant_bytes),
        ("activations, each its place", size_text, old_memory.unshared_bytes, new_memory.unshared_bytes),
        ("activations, planned", size_text, old_memory.arena_bytes, new_memory.arena_bytes),
    ]
    for name, text, old, new in rows:
        table.add_row(name, text(old), text(new), f"{new / old:.3f}" if old else "")
    return table


def _passes(cost: LoopCost) -> Table:
    from rich.table import Table

    from coopdraw.exporter.reporting.figures import count_text, signed_text, size_text

    table = Table("pass", "rewrites", "FLOPs saved", "a step", "bytes saved", "a step", "missed", box=None)
    for record in cost.passes:
        flops, moved = record.notes.get("flops_saved", 0), record.notes.get("bytes_saved", 0)
        table.add_row(
            record.name,
            str(record.rewrites),
            signed_text(flops, count_text),
            signed_text(flops / cost.steps, count_text),
            signed_text(moved, size_text),
            signed_text(moved / cost.steps, size_text),
            str(len(record.misses)),
        )
    return table
