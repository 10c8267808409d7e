"""The pattern driver: find (match), ask whether it is legal (check), change (rewrite)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import Miss, blame
from coopdraw.graphs.passes.rewriter import Rewriter


@dataclass(frozen=True)
class Match:
    """Where a pattern was found.

    `root` is the last node, `operands` are the values that the rewrite reads, in an order the pattern chooses, and
    `interior` are the nodes in between, which are left out if only the root used them. `obstacle` is the reason, if
    finding the parts has shown one, why they must be left alone.
    """

    root: Node
    operands: tuple[Value, ...]
    interior: tuple[Node, ...] = ()
    obstacle: str | None = field(default=None, kw_only=True)


class Pattern(ABC):
    """One rewrite rule. A pattern is structural: it looks at operators, attributes and types, never at names."""

    roots: ClassVar[frozenset[str]]
    """The operators that the last node may have."""

    @abstractmethod
    def match(self, graph: Graph, root: Node) -> Match | None:
        """Whether the pattern ends at `root`."""

    def check(self, graph: Graph, match: Match) -> str | None:
        """The reason why this match must be left alone, by default its obstacle; None if it may be rewritten."""
        return match.obstacle

    @abstractmethod
    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        """Replaces or exchanges the root."""


def apply_patterns(graph: Graph, patterns: Sequence[Pattern]) -> tuple[Graph, int, list[Miss]]:
    """Rewrites until no pattern applies; gives the graph, the number of rewrites and the matches refused at the end."""
    total = 0
    for _ in range(len(graph.nodes) + 1):
        swept, count, misses = _sweep(graph, patterns)
        if not count:
            return graph, total, misses
        graph, total = swept, total + count
    raise PassError(f"graph {graph.name}: the patterns keep undoing each other; drop one that turns back another")


def _sweep(graph: Graph, patterns: Iterable[Pattern]) -> tuple[Graph, int, list[Miss]]:
    """One walk from the outputs up, so that the widest match wins; what it covers waits for the next sweep."""
    rewriter, covered, count, misses = Rewriter(graph), set[Node](), 0, list[Miss]()
    for root in reversed(graph.nodes):
        for pattern in patterns:
            if root in covered or root.operator not in pattern.roots:
                continue
            with blame(graph, root):
                match = pattern.match(graph, root)
                if match is None:
                    continue
                reason = pattern.check(graph, match)
                if reason is not None:
                    misses.append(Miss(graph.name, root.where(), reason))
                    continue
                pattern.rewrite(rewriter, match)
            covered.update((root, *match.interior))
            count += 1
    misses.reverse()
    return (rewriter.finish() if count else graph), count, misses
