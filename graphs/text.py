"""The IR as text, for people, goldens and diffs; `parse_module` reads back exactly the module that was printed.

    weight "unet.conv_in.weight": float32[8, 4, 1, 1]

    entry sampling(%noise: float32[1, 4, 8, 8]) {
      %w: float32[8, 4, 1, 1] = weight() {name = "unet.conv_in.weight"}
      %half: float32[] = constant() {value = float32[](0.5)}
      %scaled: float32[1, 4, 8, 8] = mul(%noise, %half) @input_blocks.0
      %a: float32[1, 2, 8, 8], %b: float32[1, 2, 8, 8] = split(%scaled) {axis = 1, sizes = [2, 2]} @input_blocks.0.0
      return latent = %a, image = %b
    }

Functions follow the entry as `function name(...) {...}`. Names with odd characters are JSON strings, as in %"odd name".
An array is its type and its elements in C order; over 16 elements they are little-endian bytes as `base64 "..."`, or,
when elided for people, `elided "<start of their sha256>"`. A `#` starts a comment.
"""

from __future__ import annotations

import json
import re

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.text_arrays import format_array
from coopdraw.graphs.text_parser import DeclaredWeight, parse_module
from coopdraw.graphs.text_tokens import NAME, SYMBOL

__all__ = ["DeclaredWeight", "format_graph", "format_module", "parse_module"]


def format_module(module: Module, elide: int | None = None) -> str:
    """The whole module; with `elide`, constants of more elements than that show only a hash and can't be parsed."""
    weights = [f"weight {json.dumps(name)}: {weight.type}\n" for name, weight in sorted(module.weights.items())]
    entry, *functions = module.graphs()
    graphs = [_format("entry", entry, elide), *(_format("function", function, elide) for function in functions)]
    return "\n".join(["".join(weights), *graphs] if weights else graphs)


def format_graph(graph: Graph, elide: int | None = None) -> str:
    """One graph, written as a function; `elide` as in `format_module`."""
    return _format("function", graph, elide)


def _format(keyword: str, graph: Graph, elide: int | None) -> str:
    inputs = ", ".join(_typed(value) for value in graph.inputs)
    results = zip(graph.output_names, graph.outputs, strict=True)
    lines = [
        f"{keyword} {_name(graph.name)}({inputs}) {{",
        *(f"  {_format_node(node, elide)}" for node in graph.nodes),
        f"  return {', '.join(f'{_name(name)} = {_symbol(value)}' for name, value in results)}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _format_node(node: Node, elide: int | None) -> str:
    outputs = ", ".join(_typed(value) for value in node.outputs)
    text = f"{outputs} = {_name(node.operator)}({', '.join(_symbol(value) for value in node.inputs)})"
    if node.attributes:
        attributes = sorted(node.attributes.items())
        text += f" {{{', '.join(f'{_name(key)} = {_format_attribute(value, elide)}' for key, value in attributes)}}}"
    return f"{text} @{_quoted_unless(SYMBOL, node.source)}" if node.source else text


def _typed(value: Value) -> str:
    return f"{_symbol(value)}: {value.type}"


def _symbol(value: Value) -> str:
    return f"%{_quoted_unless(SYMBOL, value.name)}"


def _name(name: str) -> str:
    return _quoted_unless(NAME, name)


def _quoted_unless(pattern: str, text: str) -> str:
    return text if re.fullmatch(pattern, text) else json.dumps(text)


def _format_attribute(value: Attribute, elide: int | None) -> str:
    if isinstance(value, np.ndarray):
        return format_array(value, elide)
    if isinstance(value, tuple):
        return f"[{', '.join(_format_scalar(element) for element in value)}]"
    return _format_scalar(value)


def _format_scalar(value: bool | int | float | str | None) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return str(value).lower()
