"""Coop-Diffusion: other latent spaces and resolutions inside one denoising process (arXiv 2312.16486, Alg. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import CoopdrawError
from coopdraw.graphs.ir import Graph, Value

MAIN = "main"
"""What the pipeline's experts are called in names of transfers: they share one latent space."""

Window = tuple[int, int]
"""Steps [first, end)."""


@dataclass(frozen=True)
class LatentBridge:
    """A partner mixed into the running model at the steps of `window`: x0 = d * E(D'(x0')) + (1 - d) * x0.

    d is `strength`. With `feedback` the mixed prediction goes back as E'(D(x0)). `share_noise` None shares where the
    latents have one shape.
    """

    partner: str
    strength: float
    window: Window
    feedback: bool = True
    share_noise: bool | None = None

    def acts_at(self, index: int) -> bool:
        """Whether the partner runs at a step: never with strength 0, which would change nothing."""
        return self.strength > 0.0 and self.window[0] <= index < self.window[1]


@dataclass(frozen=True)
class ResolutionBridge:
    """Model `source` runs until the first step with t <= `at`; its prediction there is carried over as an image."""

    name: str
    source: str
    at: int
    upsample: Literal["nearest", "bilinear", "bicubic", "area"] = "bilinear"


@dataclass(frozen=True)
class Transfer:
    """From one latent space to another through the image; `mode` is how the image is resized where sizes differ."""

    source: str
    target: str
    mode: str | None = None

    @property
    def function(self) -> str:
        return f"bridge.{self.source}_to_{self.target}"


def build_transfer(transfer: Transfer, decode: Graph, encode: Graph) -> Graph:
    """Function latent -> latent: encode(resize(decode(latent))).

    `decode` maps the source's latent to its image in [-1, 1], `encode` the target's image to its scaled posterior mean.
    Without a mode, images are made smaller by area and larger bilinearly with half-pixel centres. Raises CoopdrawError
    where the batches differ.
    """
    builder = GraphBuilder(transfer.function)
    builder.source = transfer.function
    latent = builder.input("latent", decode.inputs[0].type)
    (image,) = builder.call(decode, latent)
    found, wanted = image.type.shape, encode.inputs[0].type.shape
    if found[:2] != wanted[:2]:
        raise CoopdrawError(f"{transfer.function}: images of {list(found)} can't become {list(wanted)}; check the VAEs")
    image = fit_image(builder, image, wanted[2:], transfer.mode)
    return builder.build(builder.call(encode, image), ["latent"])


def fit_image(builder: GraphBuilder, image: Value, size: tuple[int, ...], mode: str | None = None) -> Value:
    """An image (B, C, H, W) at `size` (height, width); without a mode smaller by area and larger bilinearly."""
    found = image.type.shape[2:]
    if found == size:
        return image
    mode = mode or ("area" if found[0] * found[1] > size[0] * size[1] else "bilinear")
    coordinates = "asymmetric" if mode == "nearest" else "half_pixel"
    return builder.add("resize", image, size=size, mode=mode, coordinates=coordinates)
