"""SiLU as a place of a graph: the operator, or x * sigmoid(x)."""

from __future__ import annotations

from coopdraw.graphs.ir import Graph, Node, Value


def find_silu(graph: Graph, value: Value) -> tuple[Node, ...] | None:
    """The nodes that make silu(value), the last of which gives it; None if nothing does.

    Whether something else reads the value or the sigmoid is for the caller to see.
    """
    for user in graph.users.get(value, ()):
        if user.operator == "silu":
            return (user,)
        if user.operator == "sigmoid":
            for product in graph.users.get(user.output, ()):
                if product.operator == "mul" and set(product.inputs) == {value, user.output}:
                    return (user, product)
    return None
