"""What the values of a graph are called in the ONNX graph or function that it is written into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.onnx.emission import Scope


class Names:
    """Names in `scope`; constants and weights are written when something reads them.

    With `outer`, whatever isn't a constant or a weight has the name that it has around this scope.
    """

    def __init__(self, scope: Scope, graph: Graph, inputs: Sequence[str] = (), outer: Names | None = None) -> None:
        self.scope = scope
        self.graph = graph
        self._outer = outer
        self._names = {} if outer else dict(zip(graph.inputs, inputs, strict=True))

    def __getitem__(self, value: Value) -> str:
        node = self.graph.producers.get(value)
        if node is not None and node.operator == "constant":
            return self.scope.constant(self.array(value))
        if node is not None and node.operator == "weight":
            return self.scope.weight(str(node.attributes["name"]))
        return self._outer[value] if self._outer else self._names[value]

    def array(self, value: Value) -> np.ndarray:
        """A constant."""
        array = self.graph.producers[value].attributes["value"]
        assert isinstance(array, np.ndarray)
        return array

    def update(self, names: Mapping[Value, str]) -> None:
        self._names.update(names)


def hand_out(scope: Scope, values: Sequence[str], names: Sequence[str]) -> None:
    """Gives results the names under which a graph hands them out; one may be an input or handed out twice."""
    for value, name in zip(values, names, strict=True):
        scope.append("Identity", (value,), (name,))
