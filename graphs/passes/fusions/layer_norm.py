"""LayerNorm with the sum before it as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.norm_sums import Sum, apply_to_norms, find_sum
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class LayerNormFusion(GraphPass):
    """Makes `fused_layer_norm` of a sum of two values of one type and the `layer_norm` of its last axis.

    If something else reads the sum too, as in every transformer block, it gets it from the fused operator. A norm
    without such a sum stays what it is; one over several axes behind a sum is a miss.
    """

    name = "layer-norm-fusion"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_to_norms(graph, LayerNormSite())


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    total: Sum


class LayerNormSite(Pattern):
    """A `layer_norm` of a sum."""

    roots = frozenset({"layer_norm"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        total = find_sum(graph, root, root.inputs[1:], channelwise=False)
        return _Site(root, (total.x, total.added), (total.node,), total=total) if total else None

    def check(self, graph: Graph, match: Match) -> str | None:
        rank = len(match.root.inputs[1].type.shape)
        return None if rank == 1 else f"it normalises {rank} axes; fused_layer_norm only takes the last one"

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        norm, total = match.root, match.total
        maker = NodeMaker(rewriter, norm.source)
        operands = (total.x, *norm.inputs[1:], total.added)
        results = maker.add_many("fused_layer_norm", *operands, **norm.attributes, keep_sum=total.kept)
        maker.exchange(norm, results[:1])
        if total.kept:
            rewriter.replace(total.node.output, results[1])
