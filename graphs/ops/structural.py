"""Operators that belong to the structure of a module: constant, identity, weight and call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType


def _infer_constant(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    value = attributes["value"]
    assert isinstance(value, np.ndarray)
    return (TensorType.of(value),)


def _constant(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    value = attributes["value"]
    assert isinstance(value, np.ndarray)
    return (value,)


register(Operator("constant", 0, 0, {"value": (np.ndarray,)}, _infer_constant, _constant))


def _infer_identity(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    return inputs


def _identity(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    return inputs


register(Operator("identity", 1, 1, {}, _infer_identity, _identity))


def _infer_in_module(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    raise GraphError("only the module knows its type; build the node with GraphBuilder.weight or GraphBuilder.call")


def _run_in_module(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    raise GraphError("only the module knows its value; run it with coopdraw.graphs.interpreter.run")


register(Operator("weight", 0, 0, {"name": (str,)}, _infer_in_module, _run_in_module))
register(Operator("call", 0, None, {"function": (str,)}, _infer_in_module, _run_in_module))
