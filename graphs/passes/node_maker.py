"""Makes the nodes that a rewrite puts in the place of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coopdraw.graphs.ir import Attribute, Node, Value
from coopdraw.graphs.ops import infer
from coopdraw.graphs.passes.constants import constant_node
from coopdraw.graphs.passes.rewriter import Rewriter


class NodeMaker:
    """Collects nodes with inferred types and free names; all get the Cell path `source`."""

    def __init__(self, rewriter: Rewriter, source: str) -> None:
        self._rewriter = rewriter
        self._source = source
        self._nodes: list[Node] = []

    def add(self, operator: str, *inputs: Value, **attributes: Attribute) -> Value:
        """A node with one output."""
        return self.add_many(operator, *inputs, **attributes)[0]

    def add_many(self, operator: str, *inputs: Value, **attributes: Attribute) -> tuple[Value, ...]:
        """A node with any number of outputs."""
        types = infer(operator, [value.type for value in inputs], attributes)
        outputs = tuple(Value(self._rewriter.unique_name(operator), type) for type in types)
        self._nodes.append(Node(operator, inputs, outputs, attributes, self._source))
        return outputs

    def constant(self, value: np.ndarray | np.generic) -> Value:
        """A constant."""
        array = np.asarray(value)
        (type,) = infer("constant", [], {"value": array})
        output = Value(self._rewriter.unique_name("constant"), type)
        self._nodes.append(constant_node(output, array, self._source))
        return output

    def exchange(self, node: Node, results: Sequence[Value]) -> None:
        """Puts the collected nodes where `node` is; `results` stand for its outputs, whose names they take over.

        The passes that `node` came from are theirs too.
        """
        made = {value for own in self._nodes for value in own.outputs}
        names: dict[Value, Value] = {}
        for output, result in zip(node.outputs, results, strict=True):
            if result in made and result not in names and result.type == output.type:
                names[result] = output
            else:
                self._rewriter.replace(output, result)
        self._rewriter.exchange(node, [_in_place_of(node, own, names) for own in self._nodes])


def _in_place_of(old: Node, node: Node, names: dict[Value, Value]) -> Node:
    inputs = tuple(names.get(value, value) for value in node.inputs)
    outputs = tuple(names.get(value, value) for value in node.outputs)
    return replace(node, inputs=inputs, outputs=outputs, passes=old.passes)
