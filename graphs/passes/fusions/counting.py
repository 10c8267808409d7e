"""How many fused operators a module has, under the names that a recipe's `[expect.fusions]` uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.passes.base import Miss
from coopdraw.graphs.passes.manager import PassRecord


@dataclass(frozen=True)
class Fusion:
    """A kind of fused node, and the passes that make it."""

    counts: Callable[[Node], bool]
    passes: tuple[str, ...]


def _operator(name: str) -> Callable[[Node], bool]:
    return lambda node: node.operator == name


FUSIONS: Mapping[str, Fusion] = {
    "attention": Fusion(_operator("attention"), ("attention-fusion",)),
    "bias-activation": Fusion(_operator("bias_activation"), ("bias-fusion",)),
    "geglu": Fusion(_operator("geglu"), ("gelu-core", "geglu-fusion")),
    "group-norm": Fusion(_operator("fused_group_norm"), ("group-norm-core", "group-norm-fusion")),
    "group-norm-silu": Fusion(
        lambda node: node.operator == "fused_group_norm" and node.attributes["activation"] == "silu",
        ("group-norm-core", "group-norm-fusion"),
    ),
    "layer-norm": Fusion(_operator("fused_layer_norm"), ("layer-norm-core", "layer-norm-fusion")),
    "linear-combination": Fusion(_operator("linear_combination"), ("linear-combination-fusion",)),
}
"""By name, in alphabetical order."""


def fusion_counts(module: Module) -> dict[str, int]:
    """Fused nodes by name over all graphs, each function once; names without any are left out."""
    nodes = [node for graph in module.graphs() for node in graph.nodes]
    totals = {name: sum(map(fusion.counts, nodes)) for name, fusion in FUSIONS.items()}
    return {name: total for name, total in totals.items() if total}


def fusion_misses(name: str, records: Iterable[PassRecord]) -> Iterator[Miss]:
    """What the passes that make a fusion looked at and left alone."""
    for record in records:
        if record.name in FUSIONS[name].passes:
            yield from record.misses
