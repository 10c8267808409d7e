"""Layout BSH for attentions whose heads are only split for them: no transposes around them any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.chains import another_use
from coopdraw.graphs.passes.fusions.strides import Step, apply_views, dense, is_dense, offset_in, same_places
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter

_NAMES = ("query", "key", "value", "result")
_HEADS_SECOND = (0, 2, 1, 3)


@dataclass(frozen=True)
class AttentionLayout(GraphPass):
    """Changes an `attention` from layout BNSD to BSH where that makes the views around it superfluous.

    Query, key and value each have to be some (B, S, columns) tensor of whose columns, all or a part of them, reshapes,
    transposes, slices and splits make heads; the result has to be joined to (B, S, heads * D) before anything else
    reads it. An attention to which that applies only in part is a miss. What is computed stays the same.
    """

    name = "attention-layout"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (_SplitHeads(),))


@dataclass(frozen=True)
class _Source:
    """An operand in layout BSH: `columns` columns from `first` on of a tensor that is, or reshapes to, (B, S, C)."""

    tensor: Value
    rows: tuple[int, int]
    first: int
    columns: int

    @property
    def detours(self) -> int:
        """How many nodes it takes to make the operand."""
        whole = (*self.rows, self.tensor.type.size // (self.rows[0] * self.rows[1]))
        return (self.tensor.type.shape != whole) + (self.columns != whole[2])

    def make(self, maker: NodeMaker, views: ViewMaker) -> Value:
        columns = self.tensor.type.size // (self.rows[0] * self.rows[1])
        value = views.reshape(self.tensor, (*self.rows, columns))
        if self.columns == columns:
            return value
        begin, end = (0, 0, self.first), (*self.rows, self.first + self.columns)
        return maker.add("slice", value, begin=begin, end=end, stride=(1, 1, 1))


@dataclass(frozen=True, kw_only=True)
class _Heads(Match):
    """The sources of query, key and value, and the node that joins the result's heads; None for what isn't there."""

    parts: tuple[_Source | Node | None, ...]


class _SplitHeads(Pattern):
    roots = frozenset({"attention"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        parts = _parts(graph, root) if root.attributes["layout"] == "BNSD" else ()
        return _Heads(root, root.inputs, parts=parts) if any(parts) else None

    def check(self, graph: Graph, match: Match) -> str | None:
        assert isinstance(match, _Heads)
        parts = dict(zip(_NAMES, match.parts, strict=True))
        fit = [name for name, part in parts.items() if part is not None]
        others = [_described(graph, match.root, name) for name, part in parts.items() if part is None]
        if not others:
            return None
        return f"the {' and the '.join(fit)} could be (B, S, heads * D), but not {', '.join(others)}"

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Heads)
        maker = NodeMaker(rewriter, match.root.source)
        views = ViewMaker(maker, rewriter.graph)
        *sources, end = match.parts
        operands = [source.make(maker, views) for source in sources if isinstance(source, _Source)]
        assert isinstance(end, Node)
        attributes = {**match.root.attributes, "layout": "BSH"}
        result = maker.add("attention", *operands, *match.root.inputs[3:], **attributes)
        maker.exchange(end, [views.reshape(result, end.output.type.shape)])


def _parts(graph: Graph, attention: Node) -> tuple[_Source | Node | None, ...]:
    """As in `_Heads`."""
    sources = (min(_sources(graph, x), key=lambda s: s.detours, default=None) for x in attention.inputs[:3])
    ends = list(_ends(graph, attention))
    batch, heads, length, width = attention.output.type.shape
    joined = (batch, length, heads * width)
    return (*sources, next((node for node in ends if node.output.type.shape == joined), ends[0] if ends else None))


def _described(graph: Graph, attention: Node, name: str) -> str:
    """An operand, or the result, with its neighbour that is in the way of layout BSH."""
    if name != "result":
        value = attention.inputs[_NAMES.index(name)]
        node = graph.producers.get(value)
        return f"the {name}, which is {node.where() if node is not None else f'the input %{value.name}'}"
    use = another_use(graph, attention.output, attention)
    return f"the result, which {use} needs" if use else "the result"


def _sources(graph: Graph, operand: Value) -> Iterator[_Source]:
    """Tensors of whose columns views make the heads (B, heads, S, D) that the operand is, the nearest first."""
    batch, heads, length, width = operand.type.shape
    tensor, steps = operand, list[Step]()
    while (node := graph.producers.get(tensor)) is not None and node.inputs:
        steps.insert(0, (node, tensor))
        tensor = node.inputs[0]
        base = dense(tensor.type.shape)
        view = apply_views(graph, steps, base)
        if view is None and node.operator != "reshape":
            return
        columns, rest = divmod(tensor.type.size, batch * length)
        first = 0 if view is None else offset_in(view, base)
        if view is None or rest or first + heads * width > columns:
            continue
        part = base.reshape(batch, length, columns)[:, :, first : first + heads * width]
        if same_places(part.reshape(batch, length, heads, width).transpose(_HEADS_SECOND), view):
            yield _Source(tensor, (batch, length), first, heads * width)


def _ends(graph: Graph, attention: Node) -> Iterator[Node]:
    """Nodes after which views have put the result in the order of (B, S, heads * D), the nearest first."""
    batch, heads, length, width = attention.output.type.shape
    base = dense((batch, length, heads, width))
    value, steps = attention.output, list[Step]()
    while users := graph.users.get(value, ()):
        node = users[0]
        if another_use(graph, value, node) or len(node.outputs) != 1:
            return
        value = node.output
        steps.append((node, value))
        view = apply_views(graph, steps, base.transpose(_HEADS_SECOND))
        if view is None and node.operator != "reshape":
            return
        if view is not None and is_dense(view, base):
            yield node
