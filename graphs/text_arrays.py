"""Arrays in the text form of the IR: short ones as their elements, long ones as bytes, both exact."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.types import DType, TensorType

_INLINE_ELEMENTS = 16
_HASH_DIGITS = 12


def format_array(array: np.ndarray, elide: int | None) -> str:
    """The array as a literal; with `elide`, more elements than that become the start of their bytes' sha256."""
    type = TensorType.of(array)
    little_endian = np.asarray(array, type.dtype.numpy).tobytes()
    if elide is not None and array.size > elide:
        return f'{type}(elided "{hashlib.sha256(little_endian).hexdigest()[:_HASH_DIGITS]}")'
    if array.size <= _INLINE_ELEMENTS:
        elements = [_format_element(element) for element in array.reshape(-1)]
        if array_from_elements(type, elements).tobytes() == little_endian:  # not so for a nan with a payload
            return f"{type}({', '.join(elements)})"
    return f'{type}(base64 "{base64.b64encode(little_endian).decode()}")'


def array_from_elements(type: TensorType, elements: Sequence[str]) -> np.ndarray:
    """The array of the elements' texts in C order; raises ValueError where they don't fit the type."""
    if len(elements) != type.size:
        raise ValueError(f"{type} has {type.size} elements, not {len(elements)}")
    array = np.empty(len(elements), type.dtype.numpy)
    with np.errstate(over="ignore"):
        for index, text in enumerate(elements):
            array[index] = _element(type.dtype, text)
    return array.reshape(type.shape)


def array_from_base64(type: TensorType, text: str) -> np.ndarray:
    """The array of little-endian bytes in C order; raises ValueError where they don't fit the type."""
    data = base64.b64decode(text, validate=True)
    if len(data) != type.nbytes:
        raise ValueError(f"{type} has {type.nbytes} bytes, not {len(data)}")
    if type.dtype is DType.BOOL and data.strip(b"\0\1"):
        raise ValueError("a bool is a byte of 0 or 1")
    return np.frombuffer(data, type.dtype.numpy).reshape(type.shape)


def _format_element(element: np.generic) -> str:
    """The shortest text that reads back as the same element."""
    text = str(element).lower()
    if isinstance(element, np.bool_ | np.integer) or type(element)(float(text)) == element:
        return text
    return float.__repr__(float(element))  # type: ignore[arg-type]  # np.generic of a floating dtype


def _element(dtype: DType, text: str) -> float | int | bool:
    if dtype is DType.BOOL:
        if text not in ("true", "false"):
            raise ValueError(f"{text} is not true or false")
        return text == "true"
    try:
        number = float(text) if dtype.is_floating else int(text)
    except ValueError:
        raise ValueError(f"{text} is not an element of {dtype}") from None
    if isinstance(number, int) and not np.iinfo(dtype.numpy).min <= number <= np.iinfo(dtype.numpy).max:
        raise ValueError(f"{text} is outside the range of {dtype}")
    return number
