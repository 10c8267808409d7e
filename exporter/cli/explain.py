"""`coopdraw explain`: where a node came from, what passes did to it and what it costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from coopdraw.exporter.cli.debug import debug_option


@click.command("explain", short_help="Show where a node came from and what it costs.")
@click.argument("path", metavar="BUNDLE|FILE", type=click.Path(path_type=Path))
@click.argument("node")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@debug_option
def command(path: Path, node: str, as_json: bool) -> None:
    """Explains NODE of a bundle or a .mindir file: its Cell, the passes that made or changed it, inputs, users, cost.

    NODE is a value as `coopdraw inspect` prints it, or a Cell path, whose nodes are listed; the function's name and a
    colon before it choose the function.

    \b
    Examples:
      coopdraw explain shapes.bundle structure.unet:%softmax_3
      coopdraw explain shapes.bundle structure.unet:input_blocks.4.1.transformer_blocks.0.attn2
      coopdraw explain model.mindir %conv2d_2 --json
    """
    from coopdraw.exporter.reporting.explanation import Explainer, Reports
    from coopdraw.exporter.reporting.explanation_text import cell_lines, explanation_lines
    from coopdraw.exporter.reporting.node_search import FoundCell, find
    from coopdraw.graphs.mindir.reader import read_mindir

    reports: Reports = ()
    if path.is_dir():
        from coopdraw.runtime.bundle import Bundle

        bundle = Bundle.open(path, check=False)
        path, reports = bundle.graph_path, bundle.manifest.passes
    module = read_mindir(path)
    found = find(module, node)
    explainer = Explainer(module, reports)
    if isinstance(found, FoundCell):
        whole = explainer.explain_cell(found)
        lines, data = cell_lines(whole), asdict(whole)
    else:
        single = explainer.explain(found)
        lines, data = explanation_lines(single), asdict(single)
    click.echo(json.dumps(data, indent=1) if as_json else "\n".join(lines))
