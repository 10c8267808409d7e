"""The operator table: what each operator takes, what it gives, its NumPy reference and its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Attribute, Value
from coopdraw.graphs.types import TensorType

Attributes: TypeAlias = Mapping[str, Attribute]
Infer: TypeAlias = Callable[[Sequence[TensorType], Attributes], Sequence[TensorType]]
Reference: TypeAlias = Callable[[Sequence[np.ndarray], Attributes], Sequence[np.ndarray]]
Flops: TypeAlias = Callable[[Sequence[TensorType], Sequence[TensorType], Attributes], int]


class Maker(Protocol):
    """What a decomposition writes nodes with; `GraphBuilder` and `passes.node_maker.NodeMaker` are such."""

    def add(self, operator: str, *inputs: Value, **attributes: Attribute) -> Value:
        """A node with one output."""

    def constant(self, value: np.ndarray | np.generic) -> Value:
        """A constant."""


Decompose: TypeAlias = Callable[[Maker, Sequence[Value], Attributes], Sequence[Value]]


def _no_flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return 0


@dataclass(frozen=True)
class Operator:
    """One operator of the canonical set.

    `attributes` maps each attribute's name to the Python types it may have. `infer` raises GraphError with one sentence
    on operands it can't take. `reference` gets arrays of the inferred types and returns arrays of the output types.
    `flops` counts multiplications and additions (a multiply-add is two); data movement counts as zero.
    A fused operator has `decompose`, which computes its outputs with plain operators of the table.
    """

    name: str
    least_inputs: int
    most_inputs: int | None
    attributes: Mapping[str, tuple[type, ...]]
    infer: Infer
    reference: Reference
    flops: Flops = _no_flops
    decompose: Decompose | None = None


_TABLE: dict[str, Operator] = {}


def register(operator: Operator) -> Operator:
    """Adds an operator to the table; a second one of the same name is an error."""
    if operator.name in _TABLE:
        raise GraphError(f"operator {operator.name} is in the table twice; rename one")
    _TABLE[operator.name] = operator
    return operator


def lookup(name: str) -> Operator:
    """The operator of that name; raises GraphError for one the table doesn't have."""
    try:
        return _TABLE[name]
    except KeyError:
        raise GraphError(f"the operator table has no {name}; add it under graphs/ops or rewrite the node") from None


def operator_names() -> tuple[str, ...]:
    return tuple(sorted(_TABLE))


def infer(name: str, inputs: Sequence[TensorType], attributes: Attributes) -> tuple[TensorType, ...]:
    """Output types of one node; raises GraphError that names the operator when operands or attributes don't fit."""
    operator = lookup(name)
    count = len(inputs)
    if count < operator.least_inputs or (operator.most_inputs is not None and count > operator.most_inputs):
        most = " or more" if operator.most_inputs is None else f" to {operator.most_inputs}"
        exact = operator.least_inputs == operator.most_inputs
        raise GraphError(
            f"{name} takes {operator.least_inputs}{'' if exact else most} inputs, but has {count}; fix its inputs"
        )
    if set(attributes) != set(operator.attributes):
        raise GraphError(f"{name} has attributes {sorted(attributes)}, but must have {sorted(operator.attributes)}")
    for key, types in operator.attributes.items():
        value = attributes[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise GraphError(f"{name}: attribute {key} is {value!r}, which is not {types[0].__name__}")
    try:
        return tuple(operator.infer(inputs, attributes))
    except GraphError as error:
        raise GraphError(f"{name}: {error}") from None


def evaluate(name: str, inputs: Sequence[np.ndarray], attributes: Attributes) -> tuple[np.ndarray, ...]:
    """Runs the NumPy reference of one operator; inf and nan are results like any other, so NumPy doesn't warn."""
    with np.errstate(all="ignore"):
        return tuple(np.asarray(array) for array in lookup(name).reference(inputs, attributes))
