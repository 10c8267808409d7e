"""Figures in words, and sizes of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from coopdraw.runtime.manifest import WeightInfo

_ITEM_SIZES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}


def weight_bytes(weight: WeightInfo) -> int:
    """Bytes of one weight; a dtype without a known size has 1 byte per element, as bool has."""
    return math.prod(weight.shape) * _ITEM_SIZES.get(weight.dtype, 1)


def stored_bytes(weights: Iterable[WeightInfo]) -> int:
    """Bytes of several weights; equal ones are stored once."""
    return sum(weight_bytes(weight) for weight in {weight.sha256: weight for weight in weights}.values())


def size_text(size: float) -> str:
    """Bytes in decimal units: 999 B, 1.0 kB, 2.5 GB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count_text(count: float) -> str:
    """A large count in decimal units: 999, 1.5 k, 2.50 G."""
    for unit in ("", " k", " M", " G", " T"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:,.0f} P"


def signed_text(number: float, text: Callable[[float], str]) -> str:
    """A number that may be below zero, by what writes its size."""
    return f"-{text(-number)}" if number < 0 else text(number)


def share_text(share: float) -> str:
    """A part of a whole: 0%, <0.01%, 4.63%."""
    return "<0.01%" if 0 < share < 0.0001 else "0%" if share == 0 else f"{100 * share:.2f}%"
