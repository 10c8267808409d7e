"""One linear layer instead of several that read the same input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from coopdraw.graphs.ir import Attribute, Graph, Module, Node, Value
from coopdraw.graphs.ops import infer
from coopdraw.graphs.passes.base import Miss, Pass, PassResult, blame
from coopdraw.graphs.passes.constants import constant_array, constant_node
from coopdraw.graphs.passes.costs import savings
from coopdraw.graphs.passes.loop.operands import (
    common_path,
    common_start,
    weight_node,
    weight_uses,
    why_shared,
)
from coopdraw.graphs.passes.loop.projections import Kind, projections
from coopdraw.graphs.passes.rewriter import Rewriter, free_name
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ConcatenatedWeight, Weight

_NAMED = 4  # parts that the name of a merged weight spells out


@dataclass(frozen=True)
class MergeProjections(Pass):
    """Merges linear layers with the same input into one whose weight has all their rows, and splits its result.

    `kinds` says which groups are merged, see `projections.Projections`. Only layers whose weights and biases are
    weights of the module, or constants, that nothing else reads take part; those of a group all have a bias or all have
    none. The merged weight is a `ConcatenatedWeight` under a name made of the parts' names; the parts leave the module.

    The FLOPs stay the same and the split moves each result once more, which `bytes_saved` counts as a loss: what is
    won is one large product instead of several small ones. Every result is still the sum of the same products, but a
    library may add them up in another order for another number of rows, so results can differ by rounding. Attention
    fusions look for the projections themselves: run them before.
    """

    name = "merge-projections"
    kinds: tuple[Kind, ...] = ("self_attention", "same_input")

    def run(self, module: Module) -> PassResult:
        merging = _Merging(module)
        for graph in module.graphs():
            for group in projections(graph):
                if group.kind in self.kinds:
                    merging.choose(graph, group.nodes)
        merged = merging.finish()
        notes = savings(module, merged)
        return PassResult(merged, merging.rewrites > 0, merging.rewrites, tuple(merging.misses), notes)


class _Merging:
    """The weights while groups are merged, and the groups of each graph."""

    def __init__(self, module: Module) -> None:
        self.misses: list[Miss] = []
        self.rewrites = 0
        self._module = module
        self._uses = weight_uses(module)
        self._weights = dict(module.weights)
        self._groups: dict[str, list[tuple[Node, ...]]] = {}

    def choose(self, graph: Graph, nodes: Sequence[Node]) -> None:
        """Notes which of these layers are to be merged; the others are misses."""
        alike: dict[tuple[str, ...], list[Node]] = {}
        for node in nodes:
            reasons = [why_shared(graph, value, self._uses) for value in node.inputs[1:]]
            reason = next((reason for reason in reasons if reason is not None), None)
            if reason is None:
                alike.setdefault(_operand_kinds(graph, node), []).append(node)
            else:
                self.misses.append(Miss(graph.name, node.where(), reason))
        for kinds, group in alike.items():
            if len(group) > 1:
                self._groups.setdefault(graph.name, []).append(tuple(group))
            else:
                reason = f"no other layer on %{nodes[0].inputs[0].name} that could be merged has {' and '.join(kinds)}"
                self.misses.append(Miss(graph.name, group[0].where(), f"{reason} as operands"))

    def finish(self) -> Module:
        """The module with all groups merged."""
        merged = self._module
        for name, groups in self._groups.items():
            graph = next(graph for graph in merged.graphs() if graph.name == name)
            rewriter = Rewriter(graph)
            for nodes in groups:
                with blame(graph, nodes[0]):
                    rewriter.exchange(nodes[0], self._merge(rewriter, nodes))
                for node in nodes[1:]:
                    rewriter.exchange(node, [])
            self.rewrites += len(groups)
            merged = merged.with_graph(rewriter.finish())
        return replace(merged, weights=self._weights) if self.rewrites else merged

    def _merge(self, rewriter: Rewriter, nodes: Sequence[Node]) -> list[Node]:
        """Weight, bias, product and split in the place of the first layer; results keep their names."""
        source = common_path(node.source for node in nodes)
        operands = [
            self._concatenate(rewriter, [node.inputs[index] for node in nodes], source)
            for index in range(1, len(nodes[0].inputs))
        ]
        inputs = (nodes[0].inputs[0], *(operand.output for operand in operands))
        (type,) = infer("linear", [value.type for value in inputs], {})
        product = Value(rewriter.unique_name("linear"), type)
        sizes = tuple(node.output.type.shape[-1] for node in nodes)
        attributes: dict[str, Attribute] = {"axis": len(type.shape) - 1, "sizes": sizes}
        return [
            *operands,
            Node("linear", inputs, (product,), {}, source),
            Node("split", (product,), tuple(node.output for node in nodes), attributes, source),
        ]

    def _concatenate(self, rewriter: Rewriter, values: Sequence[Value], source: str) -> Node:
        """The weights or constants of one operand as one; weights that were merged leave the module."""
        graph = rewriter.graph
        type = TensorType(
            values[0].type.dtype, (sum(value.type.shape[0] for value in values), *values[0].type.shape[1:])
        )
        arrays = [array for array in (constant_array(graph, value) for value in values) if array is not None]
        if arrays:
            return constant_node(Value(rewriter.unique_name("constant"), type), np.concatenate(arrays), source)
        parts: dict[str, Weight] = {}
        for value in values:
            name = str(graph.producers[value].attributes["name"])
            parts[name] = self._weights.pop(name)
        merged = free_name(merged_name(list(parts)), {*self._module.weights, *self._weights})
        self._weights[merged] = ConcatenatedWeight(parts)
        return weight_node(Value(rewriter.unique_name(merged), type), merged, source)


def merged_name(names: Sequence[str]) -> str:
    """`a.to_q.weight` and `a.to_k.weight` give `a.to_q+to_k.weight`; of many names the first and the count are kept."""
    paths = [name.split(".") for name in names]
    head = len(common_start(paths))
    tail = len(common_start([path[head:][::-1] for path in paths]))
    middles = [".".join(path[head : len(path) - tail]) for path in paths]
    shown = middles if len(middles) <= _NAMED else [middles[0], f"{len(middles) - 1}more"]
    return ".".join([*paths[0][:head], "+".join(shown), *paths[0][len(paths[0]) - tail :]])


def _operand_kinds(graph: Graph, node: Node) -> tuple[str, ...]:
    return tuple(graph.producers[value].operator for value in node.inputs[1:])
