"""`coopdraw inspect`: what is in a bundle or a MindIR file."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coopdraw.exporter.cli.debug import debug_option
from coopdraw.graphs.errors import GraphError

if TYPE_CHECKING:
    from coopdraw.graphs.ir import Graph, Module

# Constants with more elements than this are shown by their type alone.
ELIDE = 16


@click.command("inspect", short_help="Show what is in a bundle or a .mindir file.")
@click.argument("path", metavar="BUNDLE|FILE", type=click.Path(path_type=Path))
@click.option("--function", "function", metavar="NAME", help="Only this function of the graph.")
@click.option("--format", "form", type=click.Choice(["text", "json", "dot"]), default="text", show_default=True)
@debug_option
def command(path: Path, function: str | None, form: str) -> None:
    """Shows a bundle (its manifest in short, as text, or whole, as JSON) or the graphs of a .mindir file.

    \b
    Examples:
      coopdraw inspect shapes.bundle
      coopdraw inspect shapes.bundle --function vae.decode
      coopdraw inspect shapes.bundle --function structure.unet --format dot | dot -Tsvg > unet.svg
      coopdraw inspect model.mindir --format json
    """
    if path.is_dir():
        from coopdraw.runtime.bundle import Bundle

        bundle = Bundle.open(path, check=False)
        if function is None and form == "text":
            from coopdraw.exporter.cli.summary import print_summary

            print_summary(bundle)
            return
        if function is None and form == "json":
            click.echo(bundle.manifest.to_json(), nl=False)
            return
        path = bundle.graph_path
    _show_file(path, function, form)


def _show_file(path: Path, function: str | None, form: str) -> None:
    from coopdraw.exporter.cli.views import graph_as_dot, graph_as_json, module_as_json
    from coopdraw.graphs.mindir.reader import read_mindir
    from coopdraw.graphs.text import format_graph, format_module

    module = read_mindir(path)
    graph = module.entry if function is None else _find_function(module, function, path)
    if form == "dot":
        text = graph_as_dot(graph)
    elif form == "json":
        text = module_as_json(module, ELIDE) if function is None else graph_as_json(graph, ELIDE)
    else:
        text = format_module(module, elide=ELIDE) if function is None else format_graph(graph, elide=ELIDE)
    click.echo(text.rstrip("\n"))


def _find_function(module: Module, name: str, path: Path) -> Graph:
    graphs = {graph.name: graph for graph in module.graphs()}
    if name not in graphs:
        similar = difflib.get_close_matches(name, graphs, n=3) or sorted(graphs)[:10]
        raise GraphError(f"{path} has no function {name}; choose one such as {', '.join(similar)}")
    return graphs[name]
