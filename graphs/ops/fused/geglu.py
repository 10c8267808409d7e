"""GEGLU: one half of a tensor gated by the GELU of the other. Source: arXiv 2002.05202, section 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.erf import erf
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, lookup, register
from coopdraw.graphs.types import TensorType

APPROXIMATIONS = ("none", "tanh")
GATES = ("first", "second")


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    """x (..., 2 * D) [, bias (2 * D)] -> (..., D)."""
    x = inputs[0]
    checks.floating(x)
    checks.same_dtype(inputs)
    checks.choice(attributes, "approximate", APPROXIMATIONS)
    checks.choice(attributes, "gate", GATES)
    if not x.shape or x.shape[-1] % 2:
        raise GraphError(f"x is {x}, but its last extent must be even; it holds value and gate")
    if len(inputs) == 2:
        checks.exact_shape(inputs[1], x.shape[-1:], "the bias")
    return (TensorType(x.dtype, (*x.shape[:-1], x.shape[-1] // 2)),)


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    hidden = inputs[0] + inputs[1] if len(inputs) == 2 else inputs[0]
    value, gate = np.split(hidden, 2, axis=-1)
    if attributes["gate"] == "first":
        value, gate = gate, value
    wide = gate.astype(np.float64)  # 1 + erf(x) and 1 + tanh(x) cancel for negative x
    if attributes["approximate"] == "tanh":
        bell = np.tanh(math.sqrt(2.0 / math.pi) * (wide + 0.044715 * wide**3))
    else:
        bell = erf(wide / math.sqrt(2.0))
    return np.asarray(value * (0.5 * wide * (1.0 + bell)).astype(hidden.dtype))


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    gelu = lookup("gelu").flops(outputs, outputs, {"approximate": attributes["approximate"]})
    return gelu + outputs[0].size + (inputs[0].size if len(inputs) == 2 else 0)


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    hidden = maker.add("add", *values) if len(values) == 2 else values[0]
    shape = hidden.type.shape
    middle = shape[-1] // 2
    halves = [
        maker.add(
            "slice",
            hidden,
            begin=(*[0] * (len(shape) - 1), start),
            end=(*shape[:-1], start + middle),
            stride=(1,) * len(shape),
        )
        for start in (0, middle)
    ]
    gate, value = halves if attributes["gate"] == "first" else reversed(halves)
    return (maker.add("mul", value, maker.add("gelu", gate, approximate=attributes["approximate"])),)


register(
    Operator(
        "geglu",
        1,
        2,
        {"approximate": (str,), "gate": (str,)},
        _infer,
        rounded(_reference),
        _flops,
        _decompose,
    )
)
