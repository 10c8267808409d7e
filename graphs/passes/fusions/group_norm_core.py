"""GroupNorm written out in plain operators, as one operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.affine import Affine, find_affine
from coopdraw.graphs.passes.fusions.per_channel import per_channel
from coopdraw.graphs.passes.fusions.standardisation import find_standardised
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.types import TensorType


@dataclass(frozen=True)
class GroupNormCore(GraphPass):
    """Makes `group_norm` of (N, C, ...) reshaped to (N, groups, ...), standardised over all but the first two axes
    (see `standardisation`) and reshaped back, and of the gamma and beta per channel that may follow.

    Without a reshape every channel is a group; then gamma or beta must follow. Half precision that is cast to float32
    before and back after gives a `group_norm` in half precision, which accumulates in float32 too. Run it before
    `layer-norm-core`, which would take the inner part.
    """

    name = "group-norm-core"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (WrittenOutGroupNorm(),))


@dataclass(frozen=True)
class _Groups:
    """x, the shape in which it is standardised, and the nodes from there to the result without affine."""

    x: Value
    grouped: tuple[int, ...]
    epsilon: float
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    found: _Groups
    affine: Affine


class WrittenOutGroupNorm(Pattern):
    """The last node is beta's addition, gamma's multiplication, or what gives the result its shape and type back."""

    roots = frozenset({"add", "mul", "reshape", "cast"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        type = root.output.type
        for affine in find_affine(graph, root, _vector_per_channel):
            plain = affine.gamma is None and affine.beta is None
            found = _find_groups(graph, affine.x, type, needs_reshape=plain)
            if found is None:
                continue
            obstacle = _obstacle(found.grouped, type)
            if obstacle is None or plain:
                return _Site(
                    root, (found.x,), (*affine.nodes, *found.nodes), found=found, affine=affine, obstacle=obstacle
                )
        return None

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        found, type = match.found, match.root.output.type
        maker = NodeMaker(rewriter, match.root.source)
        gamma, beta = match.affine.operands(maker, rewriter.graph, TensorType(type.dtype, type.shape[1:2]))
        x = found.x if found.x.type == type else maker.add("cast", found.x, dtype=type.dtype.value)
        norm = maker.add("group_norm", x, gamma, beta, groups=found.grouped[1], epsilon=found.epsilon)
        maker.exchange(match.root, [norm])


def _vector_per_channel(graph: Graph, value: Value, type: TensorType) -> Value | None:
    """A gamma or beta of C numbers."""
    numbers = per_channel(graph, value, type)
    return numbers if numbers is not None and numbers.type.size == type.shape[1] else None


def _find_groups(graph: Graph, value: Value, type: TensorType, needs_reshape: bool) -> _Groups | None:
    """What `value`, of `type`, is a norm of."""
    back = list(_through(graph, value))
    for index, inner in enumerate(back):
        standardised = find_standardised(graph, inner)
        if standardised is None:
            continue
        grouped = standardised.x.type
        rank = len(grouped.shape)
        if rank < 3 or standardised.axes != tuple(range(2, rank)) or (needs_reshape and grouped.shape == type.shape):
            return None
        nodes = tuple(graph.producers[passed] for passed in back[: index + 1])
        for x in _through(graph, standardised.x):
            if _is_source(x.type, grouped, type):
                return _Groups(x, grouped.shape, standardised.epsilon, nodes)
        return None
    return None


def _through(graph: Graph, value: Value) -> Iterator[Value]:
    """The value and what it is before at most one reshape and one cast, in any order."""
    yield value
    passed = set[str]()
    node = graph.producers.get(value)
    while node is not None and node.operator in {"reshape", "cast"} - passed:
        passed.add(node.operator)
        yield node.inputs[0]
        node = graph.producers.get(node.inputs[0])


def _is_source(x: TensorType, grouped: TensorType, type: TensorType) -> bool:
    """Whether a norm of x, cast to `type` if need be, is what was computed on `grouped`, which is no narrower."""
    return (
        x.shape == type.shape and type.dtype in (x.dtype, grouped.dtype) and x.dtype.itemsize <= grouped.dtype.itemsize
    )


def _obstacle(grouped: tuple[int, ...], type: TensorType) -> str | None:
    batch, channels = type.shape[:2]
    if grouped[0] == batch and channels % grouped[1] == 0:
        return None
    return f"the groups of {list(grouped)} aren't whole channels of each sample of {type}"
