"""Starting noise, reproducible for each picture and each input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.runtime.errors import InputError
from coopdraw.runtime.manifest import TensorSpec


def is_noise(name: str) -> bool:
    """Whether an input takes Gaussian noise: `noise` or `<something>.noise`."""
    return name == "noise" or name.endswith(".noise")


def draw_noise(spec: TensorSpec, seed: int | Sequence[int]) -> np.ndarray:
    """Standard normal noise for one input: a seed for each picture of the batch, or `seed + i` for picture i.

    Row i is what `Generator(PCG64(SeedSequence(seed of picture i, spawn_key=name)))` draws as float32, where `name` is
    the input's name as UTF-8 bytes. So a picture depends on its own seed, not on its place in a batch, and no two
    inputs share a stream.
    """
    seeds = range(seed, seed + spec.shape[0]) if isinstance(seed, int) else seed
    if len(seeds) != spec.shape[0]:
        raise InputError(f"there are {len(seeds)} seeds; give {spec.shape[0]}, one a picture")
    noise = np.empty(spec.shape, dtype=spec.dtype)
    for row, own in enumerate(seeds):
        if own < 0:
            raise InputError(f"the seed is {own}; give 0 or more")
        stream = np.random.SeedSequence(own, spawn_key=tuple(spec.name.encode()))
        noise[row] = np.random.Generator(np.random.PCG64(stream)).standard_normal(spec.shape[1:], dtype=np.float32)
    return noise
