"""Emulates half precision arithmetic and watches what it does to the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log2

import ml_dtypes
import numpy as np

from coopdraw.graphs.interpreter import evaluate_node
from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.ops.precision import widen
from coopdraw.graphs.types import DType

HALVES = (DType.FLOAT16, DType.BFLOAT16)
_ONLY_MOVING = frozenset(
    {"constant", "identity", "reshape", "transpose", "concat", "split", "slice", "broadcast_to", "tile", "gather"}
    | {"select"}
)


@dataclass(frozen=True)
class Failure:
    """A node whose operands were numbers and whose results aren't all: where an overflow begins.

    `graph`, `node` and `cell` are what errors call it; `largest` is the largest finite absolute value of its results
    before rounding. `weight` is an operand that half precision can't hold, `called` the function that a value was
    rounded for.
    """

    graph: str
    node: str
    cell: str
    largest: float
    weight: str | None = None
    called: str | None = None


@dataclass
class Range:
    """What the rounded results of one graph were, over all its calls.

    `largest` is the largest finite absolute value before rounding and `node` what had it. Of `elements` results,
    `infinite` were finite before, `invalid` are NaN, and `small` are below the smallest normal number: they have lost
    digits, and on devices without subnormals all of them.
    """

    largest: float = 0.0
    node: str = ""
    elements: int = 0
    infinite: int = 0
    invalid: int = 0
    small: int = 0

    def headroom(self, dtype: DType) -> float:
        """How often `largest` can be doubled before it is infinite in `dtype`; negative if it is."""
        limit = float(ml_dtypes.finfo(dtype.numpy).max)
        return log2(limit / self.largest) if self.largest else inf

    @property
    def small_share(self) -> float:
        return self.small / self.elements if self.elements else 0.0


@dataclass
class HalfArithmetic:
    """An `Arithmetic` of the interpreter for modules with half precision: every node computes in float32 and rounds its
    results once.

    That is what matrix units and fused kernels do; a plain vector operator of a device may round in between. Counted in
    `ranges`, by graph, are results that were rounded: neither those that are only moved nor float32 ones. `failures`
    has the first of each graph, in the order in which they happened.
    """

    ranges: dict[str, Range] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)

    def __call__(self, graph: Graph, node: Node, operands: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The results of a node, as the interpreter takes them."""
        if node.operator in _ONLY_MOVING or not any(value.type.dtype in HALVES for value in node.outputs):
            return evaluate_node(node, operands)
        wide = [widen(array) for array in operands]
        exact = wide if node.operator == "cast" else evaluate(node.operator, wide, node.attributes)
        results = []
        for value, array in zip(node.outputs, exact, strict=True):
            with np.errstate(over="ignore"):
                rounded = array.astype(value.type.dtype.numpy, copy=False)
            if value.type.dtype in HALVES:
                self._watch(graph, node, operands, array, rounded)
            results.append(rounded)
        return results

    def _watch(
        self, graph: Graph, node: Node, operands: Sequence[np.ndarray], exact: np.ndarray, rounded: np.ndarray
    ) -> None:
        seen = self.ranges.setdefault(graph.name, Range())
        limits = ml_dtypes.finfo(rounded.dtype)
        size = np.abs(exact)
        largest = float(size.max())
        seen.elements += rounded.size
        seen.small += int(np.count_nonzero((size < float(limits.smallest_normal)) & (size > 0)))
        if not largest <= float(limits.max):
            finite = np.isfinite(size)
            largest = float(np.max(size, where=finite, initial=0.0))
            wide = widen(rounded)
            seen.infinite += int(np.count_nonzero(np.isinf(wide) & finite))
            seen.invalid += int(np.count_nonzero(np.isnan(wide)))
            if graph.name not in self.failures and _begins_here(graph, node, operands, wide):
                self.failures[graph.name] = _failure(graph, node, operands, largest)
        if largest > seen.largest:
            seen.largest, seen.node = largest, node.where()


def _begins_here(graph: Graph, node: Node, operands: Sequence[np.ndarray], rounded: np.ndarray) -> bool:
    """Whether NaN was made of operands without it, or infinity of finite ones.

    A mask may have infinities of its own, so one that is handed on says nothing. Weights are nobody's results.
    """
    pairs = zip(node.inputs, operands, strict=True)
    made = [widen(array) for value, array in pairs if _weight_name(graph, value) is None]
    if np.isnan(rounded).any() and not any(np.isnan(array).any() for array in made):
        return True
    return bool(np.isinf(rounded).any()) and all(np.isfinite(array).all() for array in made)


def _failure(graph: Graph, node: Node, operands: Sequence[np.ndarray], largest: float) -> Failure:
    pairs = zip(node.inputs, operands, strict=True)
    broken = [_weight_name(graph, value) for value, array in pairs if not np.isfinite(widen(array)).all()]
    weight = next((name for name in broken if name is not None), None)
    users = graph.users.get(node.outputs[0], ()) if node.operator == "cast" else ()
    called = next((str(user.attributes["function"]) for user in users if user.operator == "call"), None)
    return Failure(graph.name, node.where(), node.source, largest, weight, called)


def _weight_name(graph: Graph, value: Value) -> str | None:
    maker = graph.producers.get(value)
    return str(maker.attributes["name"]) if maker is not None and maker.operator == "weight" else None
