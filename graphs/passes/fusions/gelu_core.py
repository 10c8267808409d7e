"""GELU written out in plain operators, as one operator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.passes.base import GraphPass, Miss
from coopdraw.graphs.passes.fusions.chains import constant_factor
from coopdraw.graphs.passes.fusions.polynomial import Polynomial, polynomial
from coopdraw.graphs.passes.fusions.scalars import constant_number
from coopdraw.graphs.passes.node_maker import NodeMaker
from coopdraw.graphs.passes.patterns import Match, Pattern, apply_patterns
from coopdraw.graphs.passes.rewriter import Rewriter
from coopdraw.graphs.passes.uses import only_user

_SLOPE = math.sqrt(2.0 / math.pi)
_ARGUMENTS: Mapping[str, tuple[str, Polynomial]] = {
    "erf": ("none", (0.0, math.sqrt(0.5))),
    "tanh": ("tanh", (0.0, _SLOPE, 0.0, 0.044715 * _SLOPE)),
}
"""Which approximation has erf or tanh, and of what polynomial of x: arXiv 1606.08415, section 2."""

_ULPS = 8
"""How far constants may be off: they were rounded to x's type, perhaps several times."""


@dataclass(frozen=True)
class GeluCore(GraphPass):
    """Makes `gelu` of x * 0.5 * (1 + erf(x / sqrt(2))), or of tanh's approximation of it, however the product is
    ordered and the polynomial written. Other constants in the polynomial are a miss.
    """

    name = "gelu-core"

    def rewrite_graph(self, graph: Graph) -> tuple[Graph, int, Sequence[Miss]]:
        return apply_patterns(graph, (WrittenOutGelu(),))


@dataclass(frozen=True, kw_only=True)
class _Site(Match):
    approximate: str
    argument: Polynomial


class WrittenOutGelu(Pattern):
    """A product of one half, x, and 1 + erf or tanh of a polynomial of x."""

    roots = frozenset({"mul", "div"})

    def match(self, graph: Graph, root: Node) -> Match | None:
        if root.operator == "div" and constant_factor(graph, root) is None:
            return None
        half, factors, inside = _factors(graph, root)
        for bell, other in (factors, factors[::-1]) if len(factors) == 2 else ():
            curve = _without_one(graph, bell)
            if curve is None:
                continue
            approximate, wanted = _ARGUMENTS[curve.operator]
            for x, factor in _candidates(graph, other, half):
                found = polynomial(graph, curve.inputs[0], x, degree=len(wanted) - 1)
                if (
                    found is not None
                    and len(found) == len(wanted)
                    and _close(factor, 0.5, x)
                    and x.type == root.output.type
                ):
                    return _Site(root, (x,), inside, approximate=approximate, argument=found)
        return None

    def check(self, graph: Graph, match: Match) -> str | None:
        assert isinstance(match, _Site)
        wanted = next(argument for name, argument in _ARGUMENTS.values() if name == match.approximate)
        (x,) = match.operands
        if all(_close(found, number, x) for found, number in zip(match.argument, wanted, strict=True)):
            return None
        return f"its polynomial has the coefficients {list(match.argument)}; those of GELU are {list(wanted)}"

    def rewrite(self, rewriter: Rewriter, match: Match) -> None:
        assert isinstance(match, _Site)
        maker = NodeMaker(rewriter, match.root.source)
        maker.exchange(match.root, [maker.add("gelu", *match.operands, approximate=match.approximate)])


def _close(found: float, wanted: float, x: Value) -> bool:
    return math.isclose(found, wanted, rel_tol=_ULPS * float(ml_dtypes.finfo(x.type.dtype.numpy).eps), abs_tol=0.0)


def _factors(graph: Graph, root: Node) -> tuple[float, list[Value], tuple[Node, ...]]:
    """The constant and the other factors of a product, and the nodes inside it, which nothing else reads."""
    constant, values, inside = 1.0, list[Value](), list[Node]()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        scaled = constant_factor(graph, node)
        constant *= scaled[1] if scaled else 1.0
        for operand in (scaled[0],) if scaled else node.inputs:
            maker = graph.producers.get(operand)
            is_product = maker is not None and (maker.operator == "mul" or constant_factor(graph, maker) is not None)
            if maker is not None and is_product and only_user(graph, operand) is node:
                waiting.append(maker)
                inside.append(maker)
            else:
                values.append(operand)
    return constant, values, tuple(inside)


def _without_one(graph: Graph, value: Value) -> Node | None:
    """The node of erf or tanh where value is one more than it."""
    node = graph.producers.get(value)
    if node is None or node.operator != "add":
        return None
    for one, curve in (node.inputs, node.inputs[::-1]):
        maker = graph.producers.get(curve)
        if constant_number(graph, one) == 1.0 and maker is not None and maker.operator in _ARGUMENTS:
            return maker
    return None


def _candidates(graph: Graph, value: Value, factor: float) -> Iterator[tuple[Value, float]]:
    """What x may be: the value, or what it is a multiple of; each with the constant that is left beside it."""
    yield value, factor
    node = graph.producers.get(value)
    scaled = constant_factor(graph, node) if node is not None else None
    if scaled is not None:
        yield scaled[0], factor * scaled[1]
