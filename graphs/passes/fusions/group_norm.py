"""GroupNorm with the sum before it, and the modulation and SiLU after it, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.norm_sums import Sum, apply_to_norms, find_sum
from coopdraw.graphs.passes.fusions.per_channel import as_rows, per_channel
from coopdraw.graphs.passes.fusions.scalars import constant_number
from coopdraw.graphs.passes.fusions.silu import find_silu
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.passes.uses import only_user, other_operand, other_use
from coopdraw.graphs.types import DType

_BETWEEN = frozenset({"cast", "identity", "reshape", "transpose"})
"""One of these between norm and SiLU is worth a miss: the model may well do without it there."""


@dataclass(frozen=True)
class GroupNormFusion(GraphPass):
    """Makes `fused_group_norm` of a `group_norm` and what stands around it, any of:

    - x + added before it, with `added` of x's shape or one number per sample and channel (a time embedding); if
      something else reads the sum too, it gets it from the fused operator (`keep_sum`);
    - y * (1 + scale) + shift or y * scale + y + shift after it, with numbers per sample and channel; in float32 also
      y * factor + shift, where `scale` becomes factor - 1 (a folded 1 + scale; half precision would lose digits);
    - silu(y) or y * sigmoid(y) at the end.

    A norm with none of these stays what it is. One whose SiLU can't be fused is a miss.
    """

    name = "group-norm-fusion"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_to_norms(graph, GroupNormSite())


@dataclass(frozen=True)
class _Modulation:
    """y * (1 + scale) + shift; `scale` (if `has_one`, 1 + scale) and `shift` are what `per_channel` gives."""

    scale: Value
    shift: Value
    has_one: bool
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    """What stands around a norm; `last` gives the result. With an `obstacle` nothing is changed."""

    total: Sum | None
    modulation: _Modulation | None
    silu: bool
    last: Node


class GroupNormSite(Pattern):
    """A `group_norm` with at least one of the things that `fused_group_norm` computes too."""

    roots = frozenset({"group_norm"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        modulation = _find_modulation(graph, root.output)
        after = modulation.nodes if modulation else ()
        last = after[-1] if after else root
        silu = find_silu(graph, last.output)
        obstacle = _used_inside(graph, last.output, silu) if silu else _silu_behind(graph, last.output)
        operands = root.inputs[1:]
        if modulation:
            operands = (*operands, modulation.scale, modulation.shift)
        total = find_sum(graph, root, operands, channelwise=True)
        if total and _ends_modulation(graph, total.node):
            total = None
        if not (total or modulation or silu or obstacle):
            return None
        inside = (*([total.node] if total else ()), *after, *(silu or ()))
        last = silu[-1] if silu else last
        return _Site(
            root,
            operands,
            inside,
            total=total,
            modulation=modulation,
            silu=silu is not None,
            last=last,
            obstacle=obstacle,
        )

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        norm, total, modulation = match.root, match.total, match.modulation
        graph, type = rewriter.graph, norm.output.type
        maker = NodeMaker(rewriter, norm.source)
        operands = [total.x if total else norm.inputs[0], *norm.inputs[1:]]
        if total:
            operands.append(as_rows(maker, graph, total.added, type) if total.channelwise else total.added)
        if modulation:
            scale, shift = (as_rows(maker, graph, value, type) for value in (modulation.scale, modulation.shift))
            one = np.ones((), type.dtype.numpy)
            operands += [maker.add("sub", scale, maker.constant(one)) if modulation.has_one else scale, shift]
        results = maker.add_many(
            "fused_group_norm",
            *operands,
            **norm.attributes,
            activation="silu" if match.silu else "none",
            add="none" if total is None else "channel" if total.channelwise else "full",
            modulated=modulation is not None,
            keep_sum=total is not None and total.kept,
        )
        maker.exchange(match.last, results[:1])
        if total and total.kept:
            rewriter.replace(total.node.output, results[1])


def _find_modulation(graph: Graph, y: Value) -> _Modulation | None:
    """The modulation of a norm's output, if nothing else reads y or what lies between."""
    found = _find_scaling(graph, y)
    if found is None:
        return None
    scale, has_one, nodes = found
    shifted = only_user(graph, nodes[-1].output)
    shift = other_operand(shifted, nodes[-1].output) if shifted and shifted.operator == "add" else None
    if shifted is None or shift is None or any(node.output.type != y.type for node in (*nodes, shifted)):
        return None
    numbers = [per_channel(graph, value, y.type) for value in (scale, shift)]
    if numbers[0] is None or numbers[1] is None:
        return None
    return _Modulation(numbers[0], numbers[1], has_one, (*nodes, shifted))


def _ends_modulation(graph: Graph, total: Node) -> bool:
    """Whether a sum is the last node of another norm's modulation, which takes it."""
    scalings = [graph.producers[value] for value in total.inputs if value in graph.producers]
    makers = [graph.producers.get(value) for node in scalings for value in node.inputs]
    norms = [maker for maker in makers if maker is not None and maker.operator == "group_norm"]
    found = (_find_modulation(graph, norm.output) for norm in norms)
    return any(modulation.nodes[-1] is total for modulation in found if modulation)


def _find_scaling(graph: Graph, y: Value) -> tuple[Value, bool, tuple[Node, ...]] | None:
    """`scale`, false and the nodes of y * (1 + scale) or y * scale + y; factor, true and the node of y * factor."""
    users = graph.users.get(y, ())
    product = next((user for user in users if user.operator == "mul"), None)
    factor = other_operand(product, y) if product else None
    if product is None or factor is None or y in graph.outputs:
        return None
    if len(users) == 1:
        scale = _without_one(graph, factor)
        if scale is None and y.type.dtype not in (DType.FLOAT32, DType.FLOAT64):
            return None
        return (factor, True, (product,)) if scale is None else (scale, False, (product,))
    total = only_user(graph, product.output)
    if len(users) == 2 and total in users and total.operator == "add" and other_operand(total, y) is product.output:
        return factor, False, (product, total)
    return None


def _without_one(graph: Graph, factor: Value) -> Value | None:
    """`scale` where factor is 1 + scale."""
    node = graph.producers.get(factor)
    if node is None or node.operator != "add":
        return None
    for one, scale in (node.inputs, node.inputs[::-1]):
        if scale.type == factor.type and constant_number(graph, one) == 1.0:
            return scale
    return None


def _used_inside(graph: Graph, value: Value, silu: tuple[Node, ...]) -> str | None:
    """Why a SiLU can't go into the norm that makes `value`."""
    use = other_use(graph, value, silu)
    if use is not None:
        return f"the normalised value has another user, {use}"
    use = other_use(graph, silu[0].output, silu) if len(silu) > 1 else None
    return f"the sigmoid of its SiLU has another user, {use}" if use else None


def _silu_behind(graph: Graph, value: Value) -> str | None:
    """Why a SiLU further down can't go into the norm that makes `value`; None if there is none."""
    between = only_user(graph, value)
    if between is None:
        return None
    if between.operator in _BETWEEN and find_silu(graph, between.output):
        return f"{between.where()} stands between the norm and its SiLU"
    shifted = only_user(graph, between.output) if between.operator == "mul" else None
    if shifted is not None and shifted.operator == "add" and find_silu(graph, shifted.output):
        return (
            f"{between.where()} and {shifted.where()} stand between the norm and its SiLU, and they aren't 1 + scale "
            "and shift with a number per sample and channel"
        )
    return None
