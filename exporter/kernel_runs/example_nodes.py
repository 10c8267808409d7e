"""A node of an operator and data for it, from the shape of its first operand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Node
from coopdraw.graphs.ops import lookup
from coopdraw.graphs.types import DType, TensorType

Shape = tuple[int, ...]
Settings = dict[str, Attribute]

_HEAD_WIDTH, _GROUPS = 64, 32
_NEAR_ONE = {"gamma": 1.0, "scale": 0.0}
"""Operands that are factors, or are added to 1: near a number, at a tenth of the others' scale."""


@dataclass(frozen=True)
class _Form:
    """How operands and attributes follow from what is given.

    `defaults(shapes, given)` are the attributes that aren't given; `operands(shapes, attributes)` names all operands,
    with the shapes of those that aren't given either.
    """

    defaults: Callable[[Sequence[Shape], Settings], Settings]
    operands: Callable[[Sequence[Shape], Settings], list[tuple[str, Shape]]]


def parse_shape(text: str) -> Shape:
    """`1x320x64x64` or `1,320,64,64`."""
    if not re.fullmatch(r"\d+([x,]\d+)*", text):
        raise KernelRequestError(f"{text!r} is no shape; write extents such as 1x320x64x64")
    return tuple(int(extent) for extent in re.split("[x,]", text))


def example_node(
    operator: str, shapes: Sequence[Shape], given: Mapping[str, str], dtype: DType, seed: int
) -> tuple[Node, list[np.ndarray]]:
    """A node of the operator, and its inputs: standard normal, factors near 1.

    `shapes` are those of the first operands, at least of one; the others follow. `given` are attributes as text.
    Raises KernelRequestError for what isn't known, GraphError for operands that don't fit.
    """
    form = _FORMS.get(operator)
    if form is None:
        raise KernelRequestError(f"there is no Ascend kernel for {operator}; choose one of {', '.join(sorted(_FORMS))}")
    if not shapes:
        raise KernelRequestError(f"{operator} has no shape; give that of its first operand with --input")
    parsed = {name: _parsed(operator, name, text) for name, text in given.items()}
    attributes = {**form.defaults(shapes, parsed), **parsed}
    operands = form.operands(shapes, attributes)
    if len(shapes) > len(operands):
        names = ", ".join(name for name, _ in operands)
        raise KernelRequestError(f"{len(shapes)} shapes are given, but the operands are {names}; leave some out")
    random = np.random.default_rng(seed)
    arrays = [
        _data(random, name, shapes[index] if index < len(shapes) else shape, dtype)
        for index, (name, shape) in enumerate(operands)
    ]
    builder = GraphBuilder(operator)
    values = [builder.input(name, TensorType.of(array)) for (name, _), array in zip(operands, arrays, strict=True)]
    outputs = builder.add_many(operator, *values, names=None, **attributes)
    return builder.build(outputs).nodes[-1], arrays


def _data(random: np.random.Generator, name: str, shape: Shape, dtype: DType) -> np.ndarray:
    values = random.standard_normal(shape)
    near = _NEAR_ONE.get(name)
    return (values if near is None else near + 0.1 * values).astype(dtype.numpy)


def _parsed(operator: str, name: str, text: str) -> Attribute:
    """An attribute's value, of the type that the operator's definition asks for."""
    types = lookup(operator).attributes.get(name)
    if types is None:
        known = ", ".join(lookup(operator).attributes)
        raise KernelRequestError(f"{operator} has no attribute {name}; it has {known}")
    try:
        if types[0] is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if types[0] is tuple:
            return tuple(float(part) for part in text.split(","))
        value: Attribute = types[0](text)
        return value
    except (KeyError, ValueError):
        raise KernelRequestError(f"{operator}.{name} is {types[0].__name__}, not {text!r}; correct --set") from None


def _group_norm_defaults(shapes: Sequence[Shape], given: Settings) -> Settings:
    return {"groups": _GROUPS, "epsilon": 1e-5}


def _fused_group_norm_defaults(shapes: Sequence[Shape], given: Settings) -> Settings:
    return {
        **_group_norm_defaults(shapes, given),
        "activation": "silu",
        "add": "none",
        "modulated": False,
        "keep_sum": False,
    }


def _group_norm_operands(shapes: Sequence[Shape], attributes: Settings) -> list[tuple[str, Shape]]:
    x = shapes[0]
    rows, channels = x[:2], x[1:2]
    operands = [("x", x), ("gamma", channels), ("beta", channels)]
    if attributes.get("add", "none") != "none":
        operands.append(("added", x if attributes["add"] == "full" else rows))
    if attributes.get("modulated"):
        operands += [("scale", rows), ("shift", rows)]
    return operands


def _attention_defaults(shapes: Sequence[Shape], given: Settings) -> Settings:
    """Rows with all heads, 64 wide each, if the query has three axes; heads one after the other if it has four."""
    query = shapes[0]
    layout = str(given.get("layout", "BNSD" if len(query) == 4 else "BSH"))
    if layout == "BNSD":
        heads = query[1] if len(query) > 1 else 1
    else:
        heads = int(given.get("heads", max(query[-1] // _HEAD_WIDTH, 1)))  # type: ignore[arg-type]
    width = query[-1] if layout == "BNSD" else query[-1] // max(heads, 1)
    return {"heads": heads, "scale": float(max(width, 1) ** -0.5), "layout": layout}


def _attention_operands(shapes: Sequence[Shape], attributes: Settings) -> list[tuple[str, Shape]]:
    """A key has the query's shape, a value the key's; a fourth shape is a mask."""
    key = shapes[1] if len(shapes) > 1 else shapes[0]
    operands = [("query", shapes[0]), ("key", key), ("value", key)]
    return [*operands, ("mask", shapes[3])] if len(shapes) > 3 else operands


def _linear_combination_defaults(shapes: Sequence[Shape], given: Settings) -> Settings:
    """1, 1/2, 1/3 ... for as many operands as are given, but at least two."""
    return {"weights": tuple(1.0 / (index + 1) for index in range(max(len(shapes), 2)))}


def _linear_combination_operands(shapes: Sequence[Shape], attributes: Settings) -> list[tuple[str, Shape]]:
    weights = attributes["weights"]
    assert isinstance(weights, tuple)
    return [(f"x{index}", shapes[0]) for index in range(len(weights))]


_FORMS = {
    "attention": _Form(_attention_defaults, _attention_operands),
    "fused_group_norm": _Form(_fused_group_norm_defaults, _group_norm_operands),
    "group_norm": _Form(_group_norm_defaults, _group_norm_operands),
    "linear_combination": _Form(_linear_combination_defaults, _linear_combination_operands),
}
