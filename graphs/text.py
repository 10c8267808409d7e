"""The IR as text, for people, goldens and diffs: printing, and parsing back to the same module.

    weight "unet.conv_in.weight": float32[8, 4, 3, 3]

    entry sampling(%noise: float32[1, 4, 8, 8]) {
      %w: float32[8, 4, 3, 3] = weight() {name = "unet.conv_in.weight"}
      %scale: float32[] = constant() {value = float32[](0.5)}
      %a: float32[1, 4, 8, 8], %b: float32[1, 4, 8, 8] = split(%y) {axis = 1, sizes = [4, 4]} @input_blocks.0.0
      return latent = %a, image = %b
    }

Functions follow the entry as `function name(...) {...}`. Names with odd characters are JSON strings: %"odd name". An array
is its type and its elements in C order; over 16 elements they are the little-endian bytes as `base64 "..."`, or, when
elided for people, `elided "<start of their sha256>"`. A `#` starts a comment.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.text_parser import NAME, SYMBOL, array_from_elements, parse_module
from coopdraw.graphs.types import TensorType

__all__ = ["format_graph", "format_module", "parse_module"]

_INLINE_ELEMENTS = 16
_HASH_DIGITS = 12


def format_module(module: Module, elide: int | None = None) -> str:
    """The whole module; with `elide`, constants of more elements than that show only a hash and can't be parsed."""
    weights = [f"weight {json.dumps(name)}: {weight.type}\n" for name, weight in sorted(module.weights.items())]
    entry, *functions = module.graphs()
    sections = [
        *(["".join(weights)] if weights else []),
        _format("entry", entry, elide),
        *(_format("function", function, elide) for function in functions),
    ]
    return "\n".join(sections)


def format_graph(graph: Graph, elide: int | None = None) -> str:
    """One graph, as a function; `elide` as in `format_module`."""
    return _format("function", graph, elide)


def _format(keyword: str, graph: Graph, elide: int | None) -> str:
    inputs = ", ".join(_typed(value) for value in graph.inputs)
    lines = [f"{keyword} {_name(graph.name)}({inputs}) {{"]
    lines += [f"  {_format_node(node, elide)}" for node in graph.nodes]
    results = zip(graph.output_names, graph.outputs, strict=True)
    lines += [f"  return {', '.join(f'{_name(name)} = {_symbol(value)}' for name, value in results)}", "}", ""]
    return "\n".join(lines)


def _format_node(node: Node, elide: int | None) -> str:
    outputs = ", ".join(_typed(value) for value in node.outputs)
    text = f"{outputs} = {node.operator}({', '.join(_symbol(value) for value in node.inputs)})"
    if node.attributes:
        attributes = (f"{key} = {_format_attribute(value, elide)}" for key, value in sorted(node.attributes.items()))
        text += f" {{{', '.join(attributes)}}}"
    return text + (f" @{_quoted_unless(SYMBOL, node.source)}" if node.source else "")


def _typed(value: Value) -> str:
    return f"{_symbol(value)}: {value.type}"


def _symbol(value: Value) -> str:
    return f"%{_quoted_unless(SYMBOL, value.name)}"


def _name(name: str) -> str:
    return _quoted_unless(NAME, name)


def _quoted_unless(pattern: str, text: str) -> str:
    return text if re.fullmatch(pattern, text, re.ASCII) else json.dumps(text)


def _format_attribute(value: Attribute, elide: int | None) -> str:
    if isinstance(value, np.ndarray):
        return _format_array(value, elide)
    if isinstance(value, tuple):
        return f"[{', '.join(_format_scalar(element) for element in value)}]"
    return _format_scalar(value)


def _format_scalar(value: bool | int | float | str | None) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return str(value).lower()


def _format_array(array: np.ndarray, elide: int | None) -> str:
    type = TensorType.of(array)
    little_endian = np.asarray(array, type.dtype.numpy).tobytes()
    if elide is not None and array.size > elide:
        return f'{type}(elided "{hashlib.sha256(little_endian).hexdigest()[:_HASH_DIGITS]}")'
    if array.size <= _INLINE_ELEMENTS:
        elements = list(_format_elements(array))
        if array_from_elements(type, elements).tobytes() == little_endian:  # not so for a nan with a payload
            return f"{type}({', '.join(elements)})"
    return f'{type}(base64 "{base64.b64encode(little_endian).decode()}")'


def _format_elements(array: np.ndarray) -> Iterator[str]:
    """Shortest decimals that read back as the same element."""
    for element in array.reshape(-1):
        text = str(element).lower()
        exact = isinstance(element, np.bool_ | np.integer) or array.dtype.type(float(text)) == element
        yield text if exact else float.__repr__(float(element))
