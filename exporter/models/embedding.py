"""Sinusoidal embeddings of timesteps and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn

from coopdraw.exporter.models.primitives import concat, cos, mul, reshape, sin

MAXIMUM_PERIOD = 10000.0


def frequencies(channels: int) -> np.ndarray:
    """The `channels // 2` angular frequencies of an embedding, float64, from 1 down towards 1/10000.

    Source: Stability-AI/generative-models:sgm/modules/diffusionmodules/util.py, `timestep_embedding`.
    """
    half = channels // 2
    return np.asarray(np.exp(-math.log(MAXIMUM_PERIOD) * np.arange(half) / half))


def embed_constants(values: Sequence[float], channels: int) -> np.ndarray:
    """Embeds numbers known in advance: each as (cos, sin), one after the other, float32 (1, len(values) * channels)."""
    angles = np.asarray(values, np.float64)[:, None] * frequencies(channels)
    return np.asarray(np.concatenate([np.cos(angles), np.sin(angles)], axis=1).reshape(1, -1), np.float32)


class TimestepEmbedding(nn.Cell):
    """Timestep indices, float32 (B,), to (cos, sin) embeddings (B, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequencies = Tensor(frequencies(channels).astype(np.float32)[None])

    def construct(self, timestep: Tensor) -> Tensor:
        angles = mul(reshape(timestep, (timestep.shape[0], 1)), self.frequencies)
        return concat((cos(angles), sin(angles)))
