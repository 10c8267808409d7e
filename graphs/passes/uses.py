"""Who reads a value: what is asked before a value disappears inside another node."""

from __future__ import annotations

from collections.abc import Collection

from coopdraw.graphs.ir import Graph, Node, Value


def only_user(graph: Graph, value: Value) -> Node | None:
    """The one node that needs a value; None if there are several or none, or if the graph returns it."""
    users = graph.users.get(value, ())
    return users[0] if len(users) == 1 and value not in graph.outputs else None


def other_use(graph: Graph, value: Value, nodes: Collection[Node]) -> str | None:
    """What needs a value besides `nodes`, as a reason names it; None if nothing does."""
    for user in graph.users.get(value, ()):
        if user not in nodes:
            return user.where()
    if value in graph.outputs:
        return f"output {graph.output_names[graph.outputs.index(value)]} of the graph"
    return None


def other_operand(node: Node, value: Value) -> Value | None:
    """The operand beside `value` of a node with two different ones; None for any other node."""
    if len(node.inputs) != 2 or node.inputs.count(value) != 1:
        return None
    return node.inputs[1 - node.inputs.index(value)]
