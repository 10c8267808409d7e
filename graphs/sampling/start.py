"""Entering the sampling loop from a picture: image to image, and inpainting with a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Value
from coopdraw.graphs.sampling.coop import fit_image
from coopdraw.graphs.types import DType, TensorType

IMAGE, MASK = "image", "mask"
_BLEND = "start.blend"
_THRESHOLD = 0.5


@dataclass(frozen=True)
class ImageStart:
    """Start from a picture with `strength` of the schedule. With `mask` only what the mask has at 1 is painted anew;
    `keep_pixels` then takes the rest of the final image from the picture itself.
    """

    strength: float
    mask: bool = False
    keep_pixels: bool = False


class StartPicture:
    """The inputs `image` (B, 3, H, W) and, for inpainting, `mask` (B, 1, H, W), both in [0, 1], and what each latent
    space has of them; the mask is cut at 0.5 and taken at the nearest pixel, as in huggingface/diffusers
    src/diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_inpaint.py (mask_processor and
    prepare_mask_latents). `encoder` finds the encoder of a space.
    """

    def __init__(
        self, start: ImageStart, shape: tuple[int, ...], builder: GraphBuilder, encoder: Callable[[str], Graph]
    ) -> None:
        self._start = start
        self._builder = builder
        self._encoder = encoder
        self._image = builder.input(IMAGE, TensorType(DType.FLOAT32, shape))
        flat = TensorType(DType.FLOAT32, (shape[0], 1, *shape[2:]))
        self._mask = builder.input(MASK, flat) if start.mask else None
        self._latents: dict[str, Value] = {}
        self._masks: dict[tuple[int, ...], Value] = {}
        self.functions: dict[str, Graph] = {}

    def latent(self, space: str) -> Value:
        """The picture's z0 in a space: its scaled posterior mean, of the size that the encoder takes."""
        encode = self._encoder(space)
        if encode.name not in self._latents:
            builder = self._builder
            fitted = fit_image(builder, self._image, encode.inputs[0].type.shape[2:])
            signed = builder.add("sub", builder.add("mul", fitted, self._scalar(2.0)), self._scalar(1.0))
            self._latents[encode.name] = builder.call(encode, signed, names=["start"])[0]
        return self._latents[encode.name]

    def restore(self, latent: Value, space: str, noise: Value, sigma: float) -> Value:
        """`latent` of a space at noise level `sigma` with the picture's own, noised latent outside of the mask.

        Source: the loop of the pipeline that the class names, for UNets of four input channels.
        """
        if self._mask is None:
            return latent
        original, mask = self.latent(space), self._latent_mask(self._mask, latent.type.shape[2:])
        arguments = (latent, original, noise, self._scalar(sigma, "sigma"), mask)
        return self._builder.call(self._blend(latent.type), *arguments)[0]

    def keep_pixels(self, image: Value) -> Value:
        """The final image with the picture's pixels outside of the mask, mixed where the mask is grey.

        Source: apply_overlay in huggingface/diffusers src/diffusers/image_processor.py.
        """
        if self._mask is None or not self._start.keep_pixels:
            return image
        return _mix(self._builder, image, self._image, self._mask)

    def _latent_mask(self, mask: Value, size: tuple[int, ...]) -> Value:
        """1.0 inside and 0.0 outside, (B, 1, *size)."""
        if size not in self._masks:
            inside = self._builder.add("greater_equal", mask, self._scalar(_THRESHOLD))
            inside = self._builder.add("cast", inside, dtype=str(DType.FLOAT32))
            self._masks[size] = _nearest(self._builder, inside, size)
        return self._masks[size]

    def _blend(self, latent: TensorType) -> Graph:
        """The first one has the plain name, those of other shapes have theirs behind it."""
        for graph in self.functions.values():
            if graph.inputs[0].type == latent:
                return graph
        name = f"{_BLEND}.{'x'.join(map(str, latent.shape[1:]))}" if self.functions else _BLEND
        self.functions[name] = build_blend(latent, name)
        return self.functions[name]

    def _scalar(self, value: float, name: str = "scale") -> Value:
        return self._builder.constant(np.asarray(value, DType.FLOAT32.numpy), name)


def build_blend(latent: TensorType, name: str) -> Graph:
    """Function (latent, original, noise, sigma, mask) -> m * latent + (1 - m) * (original + sigma * noise).

    `latent`, `original` and `noise` are (B, C, h, w), `mask` is (B, 1, h, w), `sigma` is 0-d. Where the mask is 1 or 0
    the result is exactly the one or the other.
    """
    builder = GraphBuilder(name)
    x, original, noise = (builder.input(wish, latent) for wish in ("latent", "original", "noise"))
    sigma = builder.input("sigma", TensorType(latent.dtype, ()))
    mask = builder.input("mask", TensorType(latent.dtype, (latent.shape[0], 1, *latent.shape[2:])))
    noised = builder.add("add", original, builder.add("mul", noise, sigma))
    return builder.build([_mix(builder, x, noised, mask)], ["blended"])


def _nearest(builder: GraphBuilder, mask: Value, size: tuple[int, ...]) -> Value:
    """Pixel floor(i * in / out), gathered: a `resize` may be off by one where a backend multiplies in float32."""
    for axis, extent in zip((2, 3), size, strict=True):
        pixels = (np.arange(extent) * mask.type.shape[axis] // extent).astype(np.int32)
        mask = builder.add("gather", mask, builder.constant(pixels, "nearest"), axis=axis)
    return mask


def _mix(builder: GraphBuilder, inside: Value, outside: Value, mask: Value) -> Value:
    """mask * inside + (1 - mask) * outside."""
    one = builder.constant(np.asarray(1.0, mask.type.dtype.numpy), "one")
    kept = builder.add("mul", outside, builder.add("sub", one, mask))
    return builder.add("add", builder.add("mul", inside, mask), kept)
