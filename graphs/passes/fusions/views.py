"""Reshapes and transposes made on top of those that are there, so that a view of a view is one node."""

from __future__ import annotations

from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.passes.node_maker import NodeMaker


class ViewMaker:
    """Makes views with a `NodeMaker`, of values of `graph` and of values that it made itself."""

    def __init__(self, maker: NodeMaker, graph: Graph) -> None:
        self._maker = maker
        self._graph = graph
        self._made: dict[Value, tuple[str, Value, tuple[int, ...]]] = {}

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        """x in that shape: x itself or what x is a reshape of, where the shape fits."""
        while x.type.shape != shape and (view := self._view(x, "reshape")) is not None:
            x = view[0]
        return x if x.type.shape == shape else self._add("reshape", x, "shape", shape)

    def transpose(self, x: Value, permutation: tuple[int, ...]) -> Value:
        """x with its axes in that order, merged with a transpose that made x."""
        view = self._view(x, "transpose")
        if view is not None:
            x, permutation = view[0], tuple(view[1][axis] for axis in permutation)
        if permutation == tuple(range(len(permutation))):
            return x
        return self._add("transpose", x, "permutation", permutation)

    def swap(self, x: Value) -> Value:
        """x with its last two axes exchanged, below a reshape that only regroups the axes before them."""
        shape = x.type.shape
        view = self._view(x, "reshape")
        if view is not None and view[0].type.shape[-2:] == shape[-2:]:
            return self.reshape(self.swap(view[0]), (*shape[:-2], shape[-1], shape[-2]))
        return self.transpose(x, swap_permutation(len(shape)))

    def _view(self, x: Value, operator: str) -> tuple[Value, tuple[int, ...]] | None:
        """The input and the attribute of the view of that operator that makes x, if one does."""
        if x in self._made:
            made, base, argument = self._made[x]
            return (base, argument) if made == operator else None
        node = self._graph.producers.get(x)
        if node is None or node.operator != operator:
            return None
        argument = node.attributes["shape" if operator == "reshape" else "permutation"]  # type: ignore[assignment]
        return node.inputs[0], argument

    def _add(self, operator: str, x: Value, key: str, argument: tuple[int, ...]) -> Value:
        result = self._maker.add(operator, x, **{key: argument})
        self._made[result] = (operator, x, argument)
        return result


def swap_permutation(rank: int) -> tuple[int, ...]:
    """The permutation that exchanges the last two of `rank` axes."""
    return (*range(rank - 2), rank - 1, rank - 2)
