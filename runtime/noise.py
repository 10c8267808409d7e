"""Starting noise, reproducible for each picture and each input."""

from __future__ import annotations

import numpy as np

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.manifest import TensorSpec


def is_noise(name: str) -> bool:
    """Whether an input takes Gaussian noise: `noise` or `<something>.noise`."""
    return name == "noise" or name.endswith(".noise")


def draw_noise(spec: TensorSpec, seed: int) -> np.ndarray:
    """Standard normal noise for one input.

    Row i (a picture of the batch) is what `Generator(PCG64(SeedSequence(seed + i, spawn_key=name)))` draws as float32,
    where `name` is the input's name as UTF-8 bytes. So a picture depends on its own seed, not on its place in a batch,
    and no two inputs share a stream.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}; give 0 or more")
    noise = np.empty(spec.shape, dtype=spec.dtype)
    for row in range(spec.shape[0]):
        stream = np.random.SeedSequence(seed + row, spawn_key=tuple(spec.name.encode()))
        noise[row] = np.random.Generator(np.random.PCG64(stream)).standard_normal(spec.shape[1:], dtype=np.float32)
    return noise
