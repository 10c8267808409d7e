"""Reads a few arithmetic nodes as a polynomial of one value, whatever the order they are written in."""

from __future__ import annotations

from itertools import zip_longest
from typing import TypeAlias

from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.passes.fusions.scalars import constant_number

Polynomial: TypeAlias = tuple[float, ...]
"""Coefficients of x^0, x^1 ...; the last one is not zero."""

_DEEPEST = 8


def polynomial(graph: Graph, value: Value, x: Value, degree: int, depth: int = _DEEPEST) -> Polynomial | None:
    """`value` as a polynomial of x of at most that degree, by at most `depth` nodes in a row; None if it isn't one."""
    if value is x:
        return (0.0, 1.0)
    number = constant_number(graph, value)
    if number is not None:
        return (number,)
    node = graph.producers.get(value)
    if node is None or depth == 0:
        return None
    if node.operator == "pow":
        exponent = constant_number(graph, node.inputs[1])
        base = polynomial(graph, node.inputs[0], x, degree, depth - 1)
        return _power(base, exponent, degree) if base is not None and exponent is not None else None
    if node.operator not in ("add", "sub", "mul", "div", "neg", "square"):
        return None
    operands = [polynomial(graph, operand, x, degree, depth - 1) for operand in node.inputs]
    first, second = operands[0], operands[-1]
    if first is None or second is None:
        return None
    if node.operator == "neg":
        return _product(first, (-1.0,), degree)
    if node.operator == "add":
        return _sum(first, second)
    if node.operator == "sub":
        return _sum(first, tuple(-coefficient for coefficient in second))
    if node.operator == "div":
        return _product(first, (1.0 / second[0],), degree) if len(second) == 1 and second[0] else None
    return _product(first, second, degree)  # mul; square has one operand, which is first and last


def _sum(a: Polynomial, b: Polynomial) -> Polynomial:
    return _trimmed([left + right for left, right in zip_longest(a, b, fillvalue=0.0)])


def _product(a: Polynomial, b: Polynomial, degree: int) -> Polynomial | None:
    result = [0.0] * (len(a) + len(b) - 1)
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            result[i + j] += left * right
    trimmed = _trimmed(result)
    return trimmed if len(trimmed) <= degree + 1 else None


def _power(base: Polynomial, exponent: float, degree: int) -> Polynomial | None:
    if exponent not in (1.0, 2.0, 3.0):
        return None
    result: Polynomial | None = base
    for _ in range(int(exponent) - 1):
        result = _product(result, base, degree) if result is not None else None
    return result


def _trimmed(coefficients: list[float]) -> Polynomial:
    while len(coefficients) > 1 and coefficients[-1] == 0.0:
        coefficients.pop()
    return tuple(coefficients)
