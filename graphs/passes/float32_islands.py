"""Which nodes of a function that computes in half precision stay in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

import ml_dtypes
import numpy as np

from coopdraw.graphs.ir import Graph, Node, Value
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.passes.base import Miss
from coopdraw.graphs.passes.constants import constant_array
from coopdraw.graphs.types import DType

ISLANDS = frozenset(
    {"group_norm", "layer_norm", "softmax", "reduce_sum", "reduce_mean"}  # add up many elements
    | {"square", "pow", "exp", "log", "sqrt", "rsqrt", "reciprocal"}  # leave float16's range for ordinary operands
    | {"sin", "cos", "erf"}  # need the digits of a large operand, or of a result near 1
    | {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "cast"}  # decide, or make integers
)
"""Always float32."""

GROWING = frozenset(
    {"add", "sub", "mul", "div", "maximum", "minimum", "neg", "abs", "sign", "floor", "ceil", "round", "clamp"}
    | {"tanh", "sigmoid", "silu", "relu", "gelu", "reduce_max", "reduce_min"}
)
"""Half precision, but float32 beside an island where that costs no cast."""

MOVING = frozenset(
    {"identity", "reshape", "transpose", "concat", "split", "slice", "pad", "broadcast_to", "tile", "gather", "select"}
)
"""They compute nothing: float32 only between nodes that are."""

DENSE = frozenset({"conv2d", "linear", "matmul", "avg_pool2d", "resize", "call"})
"""Always half precision, as fused operators are: they add up in float32 and round once, at the end."""

_BOUNDS = ("minimum", "maximum", "value")


def float32_nodes(graph: Graph, half: DType, kept: Callable[[Node], bool]) -> tuple[frozenset[Node], list[Miss]]:
    """The nodes that compute in float32, and those among them that only do so because of a constant, with the reason.

    Beside `ISLANDS` and what `kept` names: nodes with a constant that `half` can't hold as a normal number, and the
    neighbours of all these, as far as float32 costs no further cast there.
    """
    fixed = {node for node in graph.nodes if touches_float32(node) and (kept(node) or _is_island(node))}
    misses: dict[Node, Miss] = {}
    while True:
        wide = _grown(graph, fixed)
        found = {}
        for node in graph.nodes:
            reason = None if node in wide else _unfit_constant(graph, node, half)
            if reason is not None:
                found[node] = Miss(graph.name, node.where(), reason)
        if not found:
            return frozenset(wide), [misses[node] for node in graph.nodes if node in misses]
        misses |= found
        fixed |= found.keys()


def touches_float32(node: Node) -> bool:
    """Whether the node reads or makes float32 values at all."""
    return any(value.type.dtype is DType.FLOAT32 for value in (*node.inputs, *node.outputs))


def is_source(node: Node | None) -> bool:
    """Whether the node makes a value that exists in any precision: a constant or a weight."""
    return node is not None and node.operator in ("constant", "weight")


def _is_island(node: Node) -> bool:
    """Also an operator that this pass doesn't know."""
    known = GROWING | MOVING | DENSE | {"constant", "weight"}
    return node.operator not in known and lookup(node.operator).decompose is None


def _grown(graph: Graph, fixed: Set[Node]) -> set[Node]:
    """`fixed` and what lies behind and before it.

    A growing node whose variable operands are all float32 stays so: the cast moves behind it, and a rounding is saved.
    A growing node with one variable operand that only float32 nodes read becomes one: the cast moves before it.
    """
    wide, loose = set(fixed), set(graph.inputs)
    for node in graph.nodes:
        variables = list(_variables(graph, node))
        if node.operator in MOVING and variables and loose.issuperset(variables):
            loose.update(node.outputs)
        if node.operator in GROWING | MOVING and variables:
            makers = [graph.producers.get(value) for value in variables]
            if all(maker in wide for maker in makers):
                wide.add(node)
    for node in reversed(graph.nodes):
        if node in fixed or not touches_float32(node):
            continue
        users = [user for value in node.outputs for user in graph.users.get(value, ())]
        before = bool(users) and wide.issuperset(users) and not any(value in graph.outputs for value in node.outputs)
        if node.operator in MOVING:
            # Fewer bytes are better: float32 needs a reader, and doesn't begin here but at the function's input.
            stays = node in wide and not wide.isdisjoint(users)
            if stays or (before and not loose.isdisjoint(node.outputs)):
                wide.add(node)
            else:
                wide.discard(node)
        elif node.operator in GROWING and before and len(list(_variables(graph, node))) <= 1:
            wide.add(node)
    return wide


def _variables(graph: Graph, node: Node) -> Iterator[Value]:
    """The float32 operands that are neither constants nor weights."""
    for value in node.inputs:
        if value.type.dtype is DType.FLOAT32 and not is_source(graph.producers.get(value)):
            yield value


def _unfit_constant(graph: Graph, node: Node, half: DType) -> str | None:
    """Why the constants of a node don't fit `half`."""
    if is_source(node) or node.operator == "call" or not touches_float32(node):
        return None
    arrays = {f"the constant %{value.name}": constant_array(graph, value) for value in node.inputs}
    for key in _BOUNDS:
        bound = node.attributes.get(key)
        if isinstance(bound, float):
            arrays[f"its {key}"] = np.asarray(bound, np.float32)
    for what, array in arrays.items():
        if array is None or array.dtype != np.float32:
            continue
        size = np.abs(array[np.isfinite(array) & (array != 0)])
        limits = ml_dtypes.finfo(half.numpy)
        if size.size and size.max() > float(limits.max):
            return f"{what} has {size.max():.3g}, which is above the largest {half}, {float(limits.max):g}"
        if size.size and size.min() < float(limits.smallest_normal):
            least = float(limits.smallest_normal)
            return f"{what} has {size.min():.3g}, which is below the smallest normal {half}, {least:.3g}"
    return None
