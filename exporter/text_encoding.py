"""The graph that makes conditions from tokens: the words' context, and a vector for each image size and width."""

from __future__ import annotations

from collections.abc import Mapping

from coopdraw.exporter.networks import LoadedCell
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.weights import Weight

ENTRY = "text_encoder"


def build_text_encoder(encoders: Mapping[str, LoadedCell]) -> Module | None:
    """Tokens (B, L) -> `context`, and `vector` (of the pipeline's size) and `vector.<height>x<width>` of others.

    `encoders` are by model; those of one size and one width of vector are one function, and where only the widths
    differ, the output has its width behind its name. None if there are none.
    """
    if not encoders:
        return None
    distinct = {cell.function: cell for cell in encoders.values()}
    builder = GraphBuilder(ENTRY)
    tokens = builder.input("tokens", next(iter(distinct.values())).inputs["tokens"])
    functions: dict[str, Graph] = {}
    outputs: dict[str, Value] = {}
    weights: dict[str, Weight] = {}
    for name, cell in distinct.items():
        module = cell.trace()
        functions[name] = module.entry
        weights |= dict(module.weights)
        context, vector = builder.call(module.entry, tokens)
        outputs.setdefault("context", context)
        outputs[vector_output(cell)] = vector
    return Module(builder.build(list(outputs.values()), list(outputs)), functions, weights)


def vector_output(cell: LoadedCell) -> str:
    """What the graph calls the vector of an encoder."""
    _, _, size = cell.function.partition(".encode.")
    return f"vector.{size}" if size else "vector"
