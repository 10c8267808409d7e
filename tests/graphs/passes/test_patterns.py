"""The pattern driver, with rules made for the purpose."""

from __future__ import annotations

import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.types import DType, TensorType


class Pair(Pattern):
    """neg(neg(x)) is relu(x), which is wrong, but shows what was matched."""

    roots = frozenset({"neg"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        inner = graph.producers.get(root.inputs[0])
        return Match(root, inner.inputs, (inner,)) if inner is not None and inner.operator == "neg" else None

    def check(self, graph: Graph, match: Match) -> str | None:
        used_elsewhere = len(graph.users[match.interior[0].output]) > 1
        return "the inner neg has another user" if used_elsewhere else None

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        rewriter.exchange(match.root, [Node("relu", match.operands, match.root.outputs, {}, match.root.source)])


class Swap(Pattern):
    """Turns one operator into another."""

    def __init__(self, old: str, new: str) -> None:
        self.roots = frozenset({old})  # type: ignore[misc]
        self.new = new

    def match(self, graph: Graph, root: Node) -> Match | None:
        return Match(root, root.inputs)

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        rewriter.exchange(match.root, [Node(self.new, match.operands, match.root.outputs)])


class Broken(Swap):
    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        raise ZeroDivisionError


def chain(length: int, also_output: int | None = None) -> Graph:
    """neg of neg of ... x; `also_output` is the number of one that another node reads."""
    builder = GraphBuilder("main")
    value = builder.input("x", TensorType(DType.FLOAT32, (2,)))
    builder.source = "block.0"
    outputs = []
    for index in range(length):
        value = builder.add("neg", value)
        if index == also_output:
            outputs.append(builder.add("exp", value))
    return builder.build([value, *outputs])


def test_matches_do_not_overlap_and_the_last_ones_win() -> None:
    graph, rewrites, misses = apply_patterns(chain(5), [Pair()])
    assert [node.operator for node in graph.nodes] == ["neg", "relu", "relu"]
    assert (rewrites, misses) == (2, [])


def test_refused_match_is_reported_once_with_its_reason() -> None:
    graph, rewrites, misses = apply_patterns(chain(4, also_output=0), [Pair()])
    assert [node.operator for node in graph.nodes] == ["neg", "exp", "neg", "relu"]
    assert rewrites == 1
    assert [(miss.graph, miss.node, miss.reason) for miss in misses] == [
        ("main", "%neg_2 (neg, Cell block.0)", "the inner neg has another user")
    ]


def test_graph_without_a_match_is_handed_back() -> None:
    graph = chain(1)
    assert apply_patterns(graph, [Pair()])[0] is graph


def test_patterns_that_undo_each_other_are_stopped() -> None:
    with pytest.raises(PassError, match="graph main: the patterns keep undoing each other"):
        apply_patterns(chain(2), [Swap("neg", "abs"), Swap("abs", "neg")])


def test_bug_in_a_pattern_names_the_node() -> None:
    with pytest.raises(PassError, match=r"graph main, %neg \(neg, Cell block.0\): ZeroDivisionError"):
        apply_patterns(chain(1), [Broken("neg", "abs")])
