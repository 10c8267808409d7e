"""What a pass is and what it hands back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import ClassVar

from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Module, Node
from coopdraw.graphs.passes.costs import savings


@dataclass(frozen=True)
class Miss:
    """A place that a pass looked at and left alone: the graph, the node as errors name it, and the reason."""

    graph: str
    node: str
    reason: str


@dataclass(frozen=True)
class PassResult:
    """The module after a pass, how often the pass rewrote something, what it refused and what it saved.

    `notes` are whole numbers, named in snake_case; see `costs.savings` for those that every pass reports.
    """

    module: Module
    modified: bool
    rewrites: int = 0
    misses: tuple[Miss, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass(ABC):
    """A rewrite of a valid module into a valid module that computes the same; its fields are its options."""

    name: ClassVar[str]

    @abstractmethod
    def run(self, module: Module) -> PassResult:
        """The rewritten module, or the very module that was given if there is nothing to do."""

    def options(self) -> dict[str, object]:
        """The fields by name, for the report."""
        return {option.name: getattr(self, option.name) for option in fields(self)}


class GraphPass(Pass):
    """A pass that rewrites each graph of a module without looking at the others."""

    @abstractmethod
    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        """The rewritten graph, the number of rewrites (with none, the very graph that was given) and the misses."""

    def run(self, module: Module) -> PassResult:
        rewritten, total, misses = module, 0, list[Miss]()
        for graph in module.graphs():
            new, count, refused = self.rewrite_graph(graph)
            if count:
                rewritten = rewritten.with_graph(new)
            total += count
            misses += refused
        return PassResult(rewritten, total > 0, total, tuple(misses), savings(module, rewritten))


@contextmanager
def blame(graph: Graph, node: Node) -> Iterator[None]:
    """Turns any failure inside the block into a PassError that names the node and its Cell."""
    try:
        yield
    except Exception as error:
        raise PassError(f"graph {graph.name}, {node.where()}: {str(error) or type(error).__name__}") from error
