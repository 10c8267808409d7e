"""Removes nodes that give what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter


class _Forward(Pattern):
    """A pattern whose rewrite lets the users of the root's only output read the first operand instead."""

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        rewriter.replace(match.root.output, match.operands[0])


class NoOperation(_Forward):
    """One operator that keeps its only input: with these operators, keeping the type means keeping the values."""

    roots = frozenset(
        {"identity", "cast", "reshape", "broadcast_to", "tile", "pad", "slice", "concat", "split", "transpose"}
    )

    def match(self, graph: Graph, root: Node) -> Match | None:
        if len(root.inputs) != 1 or len(root.outputs) != 1 or root.inputs[0].type != root.output.type:
            return None
        permutation = root.attributes.get("permutation")
        if permutation is not None and permutation != tuple(range(len(root.output.type.shape))):
            return None
        return Match(root, root.inputs)


class NeutralOperand(_Forward):
    """x + 0, x - 0, x * 1, x / 1 with a constant: only where it is exact for every x, zeros' signs included."""

    roots = frozenset({"add", "sub", "mul", "div"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        neutral = 0 if root.operator in ("add", "sub") else 1
        first, second = root.inputs
        orders = [(first, second)] if root.operator in ("sub", "div") else [(first, second), (second, first)]
        for kept, operand in orders:
            array = constant_array(graph, operand)
            if array is not None and bool((array == neutral).all()):
                return Match(root, (kept, operand))
        return None

    def check(self, graph: Graph, match: Match) -> str | None:
        kept, operand = match.operands
        if kept.type != match.root.output.type:
            return f"the constant broadcasts {kept.type} to {match.root.output.type}"
        array = constant_array(graph, operand)
        if match.root.operator in ("mul", "div") or array is None or not operand.type.dtype.is_floating:
            return None
        negative = np.signbit(array)
        exact = negative.all() if match.root.operator == "add" else not negative.any()
        return None if exact else f"{match.root.operator} with this zero turns -0.0 into 0.0"


class ReshapeOfReshape(Pattern):
    """reshape(reshape(x)): the last shape is the one that counts."""

    roots = frozenset({"reshape"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        return _match_chain(graph, root, "reshape")

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        rewriter.exchange(match.root, [replace(match.root, inputs=match.operands)])


class TransposeOfTranspose(Pattern):
    """transpose(transpose(x, p), q) is one transpose; if it turns out to keep the order, NoOperation takes it."""

    roots = frozenset({"transpose"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        return _match_chain(graph, root, "transpose")

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        inner, outer = (node.attributes["permutation"] for node in (match.interior[0], match.root))
        assert isinstance(inner, tuple)
        assert isinstance(outer, tuple)
        attributes = {"permutation": tuple(int(inner[int(axis)]) for axis in outer)}
        rewriter.exchange(match.root, [replace(match.root, inputs=match.operands, attributes=attributes)])


class SelectOfConstant(_Forward):
    """select whose condition is a constant with the same value everywhere."""

    roots = frozenset({"select"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        condition, true, false = root.inputs
        array = constant_array(graph, condition)
        if array is None or not (array.all() or not array.any()):
            return None
        return Match(root, (true if array.all() else false,))

    def check(self, graph: Graph, match: Match) -> str | None:
        chosen = match.operands[0].type
        result = match.root.output.type
        return None if chosen == result else f"the select broadcasts {chosen} to {result}"


class SliceOfBroadcast(_Forward):
    """slice(broadcast_to(x)) with x's type: where an axis was widened all elements are equal, elsewhere it is whole."""

    roots = frozenset({"slice"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        match = _match_chain(graph, root, "broadcast_to")
        return match if match and match.operands[0].type == root.output.type else None


PATTERNS: tuple[Pattern, ...] = (
    NoOperation(),
    NeutralOperand(),
    ReshapeOfReshape(),
    TransposeOfTranspose(),
    SelectOfConstant(),
    SliceOfBroadcast(),
)


@dataclass(frozen=True)
class IdentityRemoval(GraphPass):
    """Removes operators that do nothing: see `PATTERNS`. The results are equal bit by bit."""

    name = "identity-removal"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, PATTERNS)


def _match_chain(graph: Graph, root: Node, operator: str) -> Match | None:
    """A root that reads the output of a node of that operator with one input."""
    inner = graph.producers.get(root.inputs[0])
    return Match(root, inner.inputs, (inner,)) if inner is not None and inner.operator == operator else None
