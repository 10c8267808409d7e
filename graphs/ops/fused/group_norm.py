"""Group normalisation with what stands around it in residual blocks: a sum before, modulation and SiLU after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Value
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import widen
from coopdraw.graphs.ops.table import Attributes, Maker, Operator, infer, lookup, register
from coopdraw.graphs.types import TensorType

ADDS = ("none", "channel", "full")
ACTIVATIONS = ("none", "silu")


def _operand_names(attributes: Attributes) -> tuple[str, ...]:
    """The inputs after x, gamma and beta, in order."""
    added = () if checks.choice(attributes, "add", ADDS) == "none" else ("added",)
    return (*added, "scale", "shift") if attributes["modulated"] else added


def _norm_attributes(attributes: Attributes) -> Attributes:
    return {key: attributes[key] for key in ("groups", "epsilon")}


def _infer(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    """x (N, C, ...), gamma (C), beta (C) [, added (N, C) or as x] [, scale (N, C), shift (N, C)]."""
    checks.choice(attributes, "activation", ACTIVATIONS)
    names = _operand_names(attributes)
    if len(inputs) != 3 + len(names):
        wanted = ", ".join(("x", "gamma", "beta", *names))
        raise GraphError(f"it has {len(inputs)} inputs, but with these attributes they must be {wanted}")
    if attributes["keep_sum"] and attributes["add"] == "none":
        raise GraphError("keep_sum is true, but there is no sum; set keep_sum to false or add to channel or full")
    x = inputs[0]
    infer("group_norm", inputs[:3], _norm_attributes(attributes))
    checks.same_dtype(inputs)
    for name, type in zip(names, inputs[3:], strict=True):
        full = name == "added" and attributes["add"] == "full"
        checks.exact_shape(type, x.shape if full else x.shape[:2], name)
    return (x, x) if attributes["keep_sum"] else (x,)


def _reference(inputs: Sequence[np.ndarray], attributes: Attributes) -> Sequence[np.ndarray]:
    x, gamma, beta, *others = (widen(array) for array in inputs)
    rows = (*x.shape[:2], *[1] * (x.ndim - 2))
    operands = dict(zip(_operand_names(attributes), others, strict=True))
    if "added" in operands:
        x = x + operands["added"].reshape(x.shape if attributes["add"] == "full" else rows)
    groups, epsilon = attributes["groups"], attributes["epsilon"]
    assert isinstance(groups, int)
    grouped = x.reshape(x.shape[0], groups, -1)
    mean, variance = grouped.mean(axis=2, keepdims=True), grouped.var(axis=2, keepdims=True)
    y = ((grouped - mean) / np.sqrt(variance + x.dtype.type(epsilon))).reshape(x.shape)
    y = y * gamma.reshape(1, *rows[1:]) + beta.reshape(1, *rows[1:])
    if "scale" in operands:
        y = y * (1 + operands["scale"].reshape(rows)) + operands["shift"].reshape(rows)
    if attributes["activation"] == "silu":
        y = y / (1 + np.exp(-y))
    results = (y, x) if attributes["keep_sum"] else (y,)
    return [np.asarray(result).astype(inputs[0].dtype, copy=False) for result in results]


def _flops(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    norm = lookup("group_norm").flops(inputs[:3], outputs[:1], _norm_attributes(attributes))
    per_element = (attributes["add"] != "none") + 2 * bool(attributes["modulated"])
    per_element += 3 * (attributes["activation"] == "silu")
    modulation = inputs[0].shape[0] * inputs[0].shape[1] if attributes["modulated"] else 0
    return norm + per_element * outputs[0].size + modulation


def _decompose(maker: Maker, values: Sequence[Value], attributes: Attributes) -> Sequence[Value]:
    x, gamma, beta, *others = values
    operands = dict(zip(_operand_names(attributes), others, strict=True))
    rows = (*x.type.shape[:2], *[1] * (len(x.type.shape) - 2))
    if "added" in operands:
        added = operands["added"]
        x = maker.add("add", x, added if attributes["add"] == "full" else maker.add("reshape", added, shape=rows))
    y = maker.add("group_norm", x, gamma, beta, **_norm_attributes(attributes))
    if "scale" in operands:
        one = maker.constant(np.ones((), x.type.dtype.numpy))
        factor = maker.add("reshape", maker.add("add", operands["scale"], one), shape=rows)
        y = maker.add("add", maker.add("mul", y, factor), maker.add("reshape", operands["shift"], shape=rows))
    if attributes["activation"] == "silu":
        y = maker.add("silu", y)
    return (y, x) if attributes["keep_sum"] else (y,)


register(
    Operator(
        "fused_group_norm",
        3,
        6,
        {
            "groups": (int,),
            "epsilon": (float,),
            "activation": (str,),
            "add": (str,),
            "modulated": (bool,),
            "keep_sum": (bool,),
        },
        _infer,
        _reference,
        _flops,
        _decompose,
    )
)
