"""What a rule of the lint says about a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from coopdraw.graphs.ir import Graph, Node
from coopdraw.kernels.simulator.soc import Soc

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that the SoC can't run ("error") or runs badly ("warning"); `reason` and `fix` are clauses.

    `node` is how errors name it, its Cell included; `page` is the public source of the rule.
    """

    severity: Severity
    node: str
    function: str
    cell: str
    reason: str
    fix: str
    page: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.function}: {self.node}: {self.reason}; {self.fix}"


@dataclass(frozen=True)
class Place:
    """A node where it stands, and the SoC that is to run it."""

    node: Node
    graph: Graph
    soc: Soc

    def error(self, reason: str, fix: str, page: str) -> Finding:
        return self._finding("error", reason, fix, page)

    def warning(self, reason: str, fix: str, page: str) -> Finding:
        return self._finding("warning", reason, fix, page)

    def _finding(self, severity: Severity, reason: str, fix: str, page: str) -> Finding:
        return Finding(severity, self.node.where(), self.graph.name, self.node.source, reason, fix, page)


Rule: TypeAlias = Callable[[Place], Iterator[Finding]]
