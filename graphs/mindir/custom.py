"""`Custom` nodes: operators that a kernel of a shared library computes, with what they stand for beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.mindir.emission import NodeEmitter
from coopdraw.graphs.passes.decomposition import Decomposition, decompose
from coopdraw.graphs.passes.provenance import stamp

MEANING = "coopdraw"
"""The attribute that says which operator a `Custom` node is."""


@dataclass(frozen=True)
class CustomKernel:
    """A function of a shared library, and the array it gets after the node's inputs (its attributes).

    `library` is relative to the working directory in which MindSpore compiles the graph.
    """

    library: str
    symbol: str
    arguments: np.ndarray


Kernels: TypeAlias = Callable[[Node], CustomKernel | None]
"""Which kernel computes a node; None for one that MindSpore's own operators are for."""


def no_kernels(node: Node) -> None:
    """Leaves everything to MindSpore's own operators."""


def legalise(module: Module, kernels: Kernels) -> Module:
    """The module with only such fused operators as a kernel computes."""
    legal = module
    for graph in module.graphs():
        plain, count = decompose(graph, lambda node: kernels(node) is not None)
        if count:
            legal = legal.with_graph(plain)
    return stamp(Decomposition.name, module, legal)


def emit_custom(emitter: NodeEmitter, kernel: CustomKernel) -> list[str]:
    """A `Custom` node of type aot, which remembers the operator and its attributes as JSON."""
    node = emitter.node
    meaning = json.dumps({"operator": node.operator, "attributes": dict(node.attributes)}, sort_keys=True)
    attributes: dict[str, Any] = {
        "func_type": "aot",
        "func_name": f"{kernel.library}:{kernel.symbol}",
        MEANING: meaning,
    }
    inputs = (*emitter.inputs, emitter.constant(kernel.arguments))
    types = [value.type for value in node.outputs]
    if len(types) == 1:
        return [emitter.add("Custom", *inputs, **attributes)]
    whole = emitter.add_tuple("Custom", *inputs, types=types, **attributes)
    return [emitter.item(whole, index, type) for index, type in enumerate(types)]
