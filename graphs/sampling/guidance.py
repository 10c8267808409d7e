"""Classifier-free guidance with any number of branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.types import DType, TensorType

UNCONDITIONAL, TEXT = "uncond", "text"


@dataclass(frozen=True)
class Guidance:
    """Scales per branch: x0 = uc + s*(c - uc) + sum_k s_k*(c_k - c), `text` is c, the others are style conditions.

    At steps outside of `window` [first, end) x0 = c: guidance is off, the styles too (None: it is on at all steps).
    Sources: mindspore-lab/mindone examples/pangu_draw_v3 (its guider); for the window arXiv 2404.07724.
    Raises CoopdrawError without `text`.
    """

    scales: Mapping[str, float]
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if TEXT not in self.scales:
            raise CoopdrawError("guidance has no `text` branch; add text = 1.0 or more")
        if UNCONDITIONAL in self.scales:
            raise CoopdrawError("guidance has a scale for `uncond`, which follows from the others; remove it")

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(name for name in self.scales if name != TEXT)

    @property
    def branches(self) -> tuple[str, ...]:
        """All branches in the order they lie in the batch; without guidance (text = 1) there is no unconditional one,
        and with an empty window `text` is alone.
        """
        if self.window is not None and self.window[0] >= self.window[1]:
            return (TEXT,)
        first = () if self.scales[TEXT] == 1.0 else (UNCONDITIONAL,)
        return (*first, TEXT, *self.styles)

    def branches_at(self, index: int) -> tuple[str, ...]:
        """The branches that predict at a step: all of them inside the window, `text` alone outside."""
        inside = self.window is None or self.window[0] <= index < self.window[1]
        return self.branches if inside else (TEXT,)

    def only(self, branches: tuple[str, ...]) -> Guidance:
        """Guidance over `branches`, which `branches_at` gave, at every step."""
        return Guidance({TEXT: 1.0} if branches == (TEXT,) else self.scales)

    def suffix(self, branches: tuple[str, ...]) -> str:
        """What the names of functions for `branches` end with: `.text` where guidance is off at some steps only."""
        return "" if branches == self.branches else f".{TEXT}"


def build_denoise(guidance: Guidance, latent: TensorType, name: str) -> Graph:
    """Function (latent, epsilon, sigma) -> denoised: x0 = x - sigma * guided epsilon.

    `latent` is (B, C, H, W), `epsilon` has all branches in its batch (branches * B, C, H, W), `sigma` is 0-d.
    """
    builder = GraphBuilder(name)
    count = len(guidance.branches)
    batch = latent.shape[0]
    x = builder.input("latent", latent)
    epsilon = builder.input("epsilon", TensorType(latent.dtype, (count * batch, *latent.shape[1:])))
    sigma = builder.input("sigma", TensorType(latent.dtype, ()))
    if count == 1:
        guided = epsilon
    else:
        parts = builder.add_many("split", epsilon, names=guidance.branches, axis=0, sizes=(batch,) * count)
        found = dict(zip(guidance.branches, parts, strict=True))
        guided = _combine(builder, guidance, found, latent.dtype)
    return builder.build([builder.add("sub", x, builder.add("mul", guided, sigma))], ["denoised"])


def _combine(builder: GraphBuilder, guidance: Guidance, found: Mapping[str, Value], dtype: DType) -> Value:
    """base + s*(c - uc) + sum_k s_k*(c_k - c), in differences as the release computes it."""
    text = found[TEXT]
    result = text
    if UNCONDITIONAL in found:
        base = found[UNCONDITIONAL]
        result = builder.add("add", base, _scaled_difference(builder, text, base, guidance.scales[TEXT], dtype))
    for style in guidance.styles:
        difference = _scaled_difference(builder, found[style], text, guidance.scales[style], dtype)
        result = builder.add("add", result, difference)
    return result


def _scaled_difference(builder: GraphBuilder, left: Value, right: Value, scale: float, dtype: DType) -> Value:
    factor = builder.constant(np.asarray(scale, dtype.numpy), "guidance_scale")
    return builder.add("mul", builder.add("sub", left, right), factor)
