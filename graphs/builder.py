"""Builds a graph node by node; types come from the operator table, names are made unique."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Attribute, Graph, Node, Value
from coopdraw.graphs.ops import infer
from coopdraw.graphs.types import TensorType


class GraphBuilder:
    """Collects inputs and nodes of one graph.

    Every method returns the new value. `source` (a Cell path) and `passes` are stamped on the nodes made while they are
    set.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = ""
        self.passes: tuple[str, ...] = ()
        self._inputs: list[Value] = []
        self._nodes: list[Node] = []
        self._names: dict[str, int] = {}
        self._producers: dict[Value, Node] = {}

    def unique_name(self, wish: str) -> str:
        """`wish`, or `wish_2`, `wish_3` ... if it is taken."""
        count = self._names.get(wish, 0) + 1
        self._names[wish] = count
        return wish if count == 1 else self.unique_name(f"{wish}_{count}")

    def producer(self, value: Value) -> Node | None:
        """The node that makes `value`; None for an input."""
        return self._producers.get(value)

    def input(self, name: str, type: TensorType) -> Value:
        """A new graph input; its name must be free."""
        if name in self._names:
            raise GraphError(f"graph {self.name} has two values named {name}; rename one")
        value = Value(self.unique_name(name), type)
        self._inputs.append(value)
        return value

    def add(self, operator: str, *inputs: Value, name: str | None = None, **attributes: Attribute) -> Value:
        """A node with one output."""
        return self.add_many(operator, *inputs, names=[name] if name else None, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: Value, names: Sequence[str] | None = None, **attributes: Attribute
    ) -> tuple[Value, ...]:
        """A node with any number of outputs."""
        types = infer(operator, [value.type for value in inputs], attributes)
        return self._append(operator, inputs, types, names, attributes)

    def constant(self, value: np.ndarray | np.generic, name: str = "constant") -> Value:
        return self.add("constant", name=name, value=np.asarray(value))

    def weight(self, name: str, type: TensorType) -> Value:
        """A module weight, by name."""
        return self._append("weight", (), (type,), [name], {"name": name})[0]

    def call(self, function: Graph, *inputs: Value, names: Sequence[str] | None = None) -> tuple[Value, ...]:
        """A call of a function; checks the argument types."""
        wanted = tuple(value.type for value in function.inputs)
        given = tuple(value.type for value in inputs)
        if wanted != given:
            texts = [", ".join(map(str, types)) for types in (wanted, given)]
            raise GraphError(f"function {function.name} takes {texts[0]}, but is called with {texts[1]}; pass those")
        types = tuple(value.type for value in function.outputs)
        return self._append("call", inputs, types, names or function.output_names, {"function": function.name})

    def build(self, outputs: Sequence[Value], output_names: Sequence[str] | None = None) -> Graph:
        """The finished graph."""
        names = tuple(output_names) if output_names else tuple(value.name for value in outputs)
        return Graph(self.name, tuple(self._inputs), tuple(self._nodes), tuple(outputs), names)

    def _append(
        self,
        operator: str,
        inputs: Sequence[Value],
        types: Sequence[TensorType],
        names: Sequence[str] | None,
        attributes: dict[str, Attribute],
    ) -> tuple[Value, ...]:
        wishes = names or [operator] * len(types)
        outputs = tuple(Value(self.unique_name(wish), type) for wish, type in zip(wishes, types, strict=True))
        node = Node(operator, tuple(inputs), outputs, attributes, self.source, self.passes)
        self._nodes.append(node)
        self._producers.update(dict.fromkeys(outputs, node))
        return outputs
