"""x * gamma + beta after a norm that is written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.fusions.views import ViewMaker
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.uses import only_user
from coopdraw.graphs.types import TensorType

Fits: TypeAlias = Callable[[Graph, Value, TensorType], Value | None]
"""The numbers of a gamma or beta for a tensor of that type; None for a value that can't be one."""


@dataclass(frozen=True)
class Affine:
    """x * gamma + beta, either or both of which may be missing; `nodes` compute it."""

    x: Value
    gamma: Value | None = None
    beta: Value | None = None
    nodes: tuple[Node, ...] = ()

    def operands(self, maker: NodeMaker, graph: Graph, type: TensorType) -> tuple[Value, Value]:
        """gamma and beta of that type; ones and zeros for what is missing."""
        views = ViewMaker(maker, graph)
        gamma = views.reshape(self.gamma, type.shape) if self.gamma else _filled(maker, type, 1)
        beta = views.reshape(self.beta, type.shape) if self.beta else _filled(maker, type, 0)
        return gamma, beta


def _filled(maker: NodeMaker, type: TensorType, number: int) -> Value:
    return maker.constant(np.full(type.shape, number, type.dtype.numpy))


def find_affine(graph: Graph, root: Node, fits: Fits) -> Iterator[Affine]:
    """Every way to see the output of `root` as an affine function of some x, the one with most operators first.

    Nothing but these operators reads x and what lies between.
    """
    if root.operator == "add":
        for value, beta in _sides(graph, root, fits):
            product = graph.producers.get(value)
            if product is not None and product.operator == "mul":
                for x, gamma in _sides(graph, product, fits):
                    yield Affine(x, gamma, beta, (product, root))
            yield Affine(value, None, beta, (root,))
    if root.operator == "mul":
        for x, gamma in _sides(graph, root, fits):
            yield Affine(x, gamma, None, (root,))
    yield Affine(root.output)


def _sides(graph: Graph, node: Node, fits: Fits) -> Iterator[tuple[Value, Value]]:
    """An operand of the result's type that nothing else reads, and the numbers of the other one if it fits."""
    type = node.output.type
    for x, other in (node.inputs, node.inputs[::-1]):
        numbers = fits(graph, other, type)
        if x.type == type and numbers is not None and only_user(graph, x) is node:
            yield x, numbers
