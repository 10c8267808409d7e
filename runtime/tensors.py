"""Checks arrays against what a manifest declares, and names what doesn't fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.manifest import TensorSpec


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean ...?)` with the most similar names, or nothing."""
    similar = difflib.get_close_matches(name, list(names), n=3)
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""


def check_inputs(specs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The arrays in the order of `specs`, C-contiguous and in native byte order.

    dtypes must be exact, except that float64 becomes float32 (what NumPy makes of Python floats). Raises InputError
    that lists every missing and unexpected name, and for wrong dtypes and shapes, NaN and infinity.
    """
    names = [spec.name for spec in specs]
    problems = [f"{name} is missing" for name in names if name not in arrays]
    problems += [f"{name} is no input{nearest(name, names)}" for name in arrays if name not in names]
    if problems:
        raise InputError(f"the inputs don't fit: {'; '.join(problems)}; give exactly {', '.join(names) or 'none'}")
    return tuple(_check_input(spec, arrays[spec.name]) for spec in specs)


def _check_input(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise InputError(f"input {spec.name} is a {type(array).__name__}; give a NumPy array of {spec.dtype}")
    if array.shape != spec.shape:
        raise InputError(f"input {spec.name} must have shape {spec.shape}, but has {array.shape}; {spec.meaning}")
    if array.dtype.name != spec.dtype and (array.dtype.name, spec.dtype) != ("float64", "float32"):
        raise InputError(
            f"input {spec.name} must be {spec.dtype}, but is {array.dtype.name}; use .astype({spec.dtype!r})"
        )
    with np.errstate(over="ignore"):
        values = np.asarray(array, dtype=np.dtype(spec.dtype), order="C")
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        raise InputError(f"input {spec.name} has NaN or infinity (as {spec.dtype}); give finite numbers")
    return values
