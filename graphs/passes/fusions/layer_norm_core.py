"""LayerNorm written out in plain operators, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.affine import Affine, find_affine
from coopdraw.graphs.passes.fusions.standardisation import Standardised, find_standardised
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.types import TensorType


@dataclass(frozen=True)
class LayerNormCore(GraphPass):
    """Makes `layer_norm` of a tensor standardised over its last axes (see `standardisation`) and of the gamma and beta
    with these axes that may follow. Other axes are a miss.
    """

    name = "layer-norm-core"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (WrittenOutLayerNorm(),))


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    found: Standardised
    affine: Affine


class WrittenOutLayerNorm(Pattern):
    """The last node is beta's addition, gamma's multiplication, or the division by the deviation."""

    roots = frozenset({"add", "mul", "div"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        for affine in find_affine(graph, root, _any_operand):
            found = find_standardised(graph, affine.x)
            if found is None:
                continue
            vectors = [vector for vector in (affine.gamma, affine.beta) if vector is not None]
            if not vectors or (_axes_are_last(found) and all(_covers_axes(vector, found) for vector in vectors)):
                inside = (*affine.nodes, graph.producers[affine.x])
                return _Site(root, (found.x,), inside, found=found, affine=affine)
        return None

    def check(self, graph: Graph, match: Match) -> str | None:
        assert isinstance(match, _Site)
        found = match.found
        if _axes_are_last(found):
            return None
        return f"it normalises axes {list(found.axes)} of {found.x.type}; layer_norm takes the last ones"

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        x = match.found.x
        maker = NodeMaker(rewriter, match.root.source)
        vector = TensorType(x.type.dtype, x.type.shape[match.found.axes[0] :])
        gamma, beta = match.affine.operands(maker, rewriter.graph, vector)
        maker.exchange(match.root, [maker.add("layer_norm", x, gamma, beta, epsilon=match.found.epsilon)])


def _any_operand(graph: Graph, value: Value, type: TensorType) -> Value:
    """Which shapes fit depends on the axes, which aren't known yet."""
    return value


def _axes_are_last(found: Standardised) -> bool:
    return found.axes == tuple(range(found.axes[0], len(found.x.type.shape)))


def _covers_axes(vector: Value, found: Standardised) -> bool:
    """Whether a gamma or beta has the extents of the normalised axes, and only those."""
    shape, first = found.x.type.shape, found.axes[0]
    padded = (1,) * (len(shape) - len(vector.type.shape)) + vector.type.shape
    return padded == (*[1] * first, *shape[first:])
