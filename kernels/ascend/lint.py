"""What a SoC can't run of a module, or runs badly, before anything is converted for it."""

from __future__ import annotations

from coopdraw.graphs.ir import Module
from coopdraw.kernels.ascend.lint_finding import Finding, Place
from coopdraw.kernels.ascend.lint_rules import RULES
from coopdraw.kernels.simulator.soc import Soc

__all__ = ["Finding", "lint"]


def lint(module: Module, soc: Soc) -> tuple[Finding, ...]:
    """Every finding: the entry, then functions by name, nodes in order, and rules in theirs."""
    return tuple(
        finding
        for graph in module.graphs()
        for node in graph.nodes
        for rule in RULES
        for finding in rule(Place(node, graph, soc))
    )
