"""What shape inference asks of operands and attributes; every failure is a GraphError of one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TypeAlias

import numpy as np

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops.table import Attributes
from coopdraw.graphs.types import DType, TensorType

DTypeCheck: TypeAlias = Callable[[TensorType], None]


def anything(type: TensorType) -> None:
    """Accepts every element type."""


def floating(type: TensorType) -> None:
    """Accepts float16, bfloat16, float32 and float64."""
    if not type.dtype.is_floating:
        raise GraphError(f"an operand is {type}, but must be floating point; cast it first")


def numeric(type: TensorType) -> None:
    """Accepts everything but bool."""
    if type.dtype is DType.BOOL:
        raise GraphError(f"an operand is {type}, but must be a number; cast it first")


def boolean(type: TensorType) -> None:
    """Accepts bool."""
    if type.dtype is not DType.BOOL:
        raise GraphError(f"an operand is {type}, but must be bool; compare it with zero first")


def same_dtype(types: Sequence[TensorType]) -> None:
    """All operands must have the element type of the first."""
    for type in types[1:]:
        if type.dtype is not types[0].dtype:
            raise GraphError(f"operands are {types[0].dtype} and {type.dtype}; cast one so that they agree")


def rank(type: TensorType, wanted: int, operand: str) -> None:
    """The operand must have `wanted` dimensions."""
    if len(type.shape) != wanted:
        raise GraphError(f"{operand} is {type}, but must have {wanted} dimensions; reshape it")


def exact_shape(type: TensorType, wanted: tuple[int, ...], operand: str) -> None:
    """The operand must have exactly this shape."""
    if type.shape != wanted:
        raise GraphError(f"{operand} is {type}, but must have shape {list(wanted)}; reshape it or fix the operand")


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape by NumPy's rule."""
    result: list[int] = []
    for extents in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        wide = {extent for extent in extents if extent != 1}
        if len(wide) > 1:
            listed = " and ".join(str(list(shape)) for shape in shapes)
            raise GraphError(f"shapes {listed} don't broadcast; make the extents equal or 1")
        result.append(wide.pop() if wide else 1)
    return tuple(reversed(result))


def axis(attributes: Attributes, dimensions: int, key: str = "axis") -> int:
    """An axis attribute: 0 <= axis < dimensions."""
    value = attributes[key]
    assert isinstance(value, int)
    if dimensions == 0:
        raise GraphError("a 0-d operand has no axes; reshape it")
    if not 0 <= value < dimensions:
        raise GraphError(f"{key} is {value}, but must be in 0..{dimensions - 1}; axes are stored non-negative")
    return value


def integers(attributes: Attributes, key: str, *, least: int, length: int | None = None) -> tuple[int, ...]:
    """A tuple attribute of integers that are at least `least`; `length` of them if that is given."""
    values = attributes[key]
    assert isinstance(values, tuple)
    checked = tuple(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    if len(checked) != len(values) or any(value < least for value in checked):
        raise GraphError(f"{key} is {list(values)}, but must hold only integers of at least {least}")
    if length is not None and len(checked) != length:
        raise GraphError(f"{key} is {list(values)}, but must have {length} elements")
    return checked


def pair(attributes: Attributes, key: str) -> tuple[int, int]:
    """A (height, width) attribute of positive integers."""
    height, width = integers(attributes, key, least=1, length=2)
    return height, width


def positive_integer(attributes: Attributes, key: str) -> int:
    value = attributes[key]
    assert isinstance(value, int)
    if value < 1:
        raise GraphError(f"{key} is {value}, but must be at least 1")
    return value


def choice(attributes: Attributes, key: str, options: Sequence[str]) -> str:
    """A string attribute that must be one of the options."""
    value = attributes[key]
    if value not in options:
        raise GraphError(f"{key} is {value!r}, but must be one of {', '.join(options)}")
    return str(value)


def fits(value: float, dtype: DType) -> None:
    """A float attribute that stands for an element must be one of the values of an integer type."""
    if dtype.is_floating:
        return
    limits = np.iinfo(dtype.numpy)
    if not (value.is_integer() and limits.min <= value <= limits.max):
        raise GraphError(f"{value} isn't a value of {dtype}; use an integer in its range or cast the operand")
