"""Two matrix products with a softmax between them become one `attention`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.attention_operands import NotFusibleError
from coopdraw.graphs.passes.fusions.attention_site import Site, find_site, is_anchor
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class AttentionFusion(GraphPass):
    """Makes an `attention` in layout BNSD of every softmax between two products, where that is what it computes.

    Scales may be multiplied or divided by, on the scores, on the query or on the key; a mask may be added to the scaled
    scores; operands may have any number of leading axes, and may be given transposed. Casts to float32 on the way are
    what attention does to half precision anyway. Results differ by rounding. A softmax that isn't fused is a miss.
    """

    name = "attention-fusion"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (_Attention(),))


@dataclass(frozen=True, kw_only=True)
class _Found(Match):
    site: Site


class _Attention(Pattern):
    roots = frozenset({"softmax"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        if not is_anchor(graph, root):
            return None
        try:
            return _Found(root, root.inputs, site=find_site(graph, root))
        except NotFusibleError as reason:
            return Match(root, root.inputs, obstacle=str(reason))

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Found)
        maker = NodeMaker(rewriter, match.root.source)
        _fuse(match.site, maker, ViewMaker(maker, rewriter.graph))


def _fuse(site: Site, maker: NodeMaker, views: ViewMaker) -> None:
    operands = [operand.make(views, site.batch, site.heads) for operand in (site.query, site.key, site.value)]
    if isinstance(site.mask, np.ndarray):
        operands.append(maker.constant(site.mask.reshape(site.mask_shape)))
    elif site.mask is not None:
        operands.append(views.reshape(site.mask, site.mask_shape))
    result = maker.add("attention", *operands, heads=site.heads, scale=site.scale, layout="BNSD")
    if site.swapped:
        result = views.swap(result)
    maker.exchange(site.product, [views.reshape(result, site.product.output.type.shape)])
