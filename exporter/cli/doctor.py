"""`coopdraw doctor`: what is there and what is missing on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from coopdraw.exporter.cli.debug import debug_option
from coopdraw.exporter.doctor import TARGETS, examine


@click.command("doctor", short_help="Show what this machine has and lacks.")
@click.option(
    "--target", type=click.Choice(TARGETS), default=TARGETS[0], show_default=True, help="What is to run here."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@debug_option
@click.pass_context
def command(ctx: click.Context, target: str, as_json: bool) -> None:
    """Lists what is there and what is missing, and how to get it. Exits with 1 if the target lacks something.

    \b
    Examples:
      coopdraw doctor
      coopdraw doctor --target ascend
      coopdraw doctor --json
    """
    findings = examine(Path.cwd(), target=target)
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            fix = f"; {finding.fix}" if finding.fix else ""
            click.echo(f"{finding.status:<9} {finding.name:<15} {finding.detail}{fix}")
    if any(finding.status == "missing" for finding in findings):
        ctx.exit(1)
