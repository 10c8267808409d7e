"""Starting from a picture in the host loop, in NumPy: what the sampling graph does with `image` and `mask`, again.

Image to image and inpainting of huggingface/diffusers, src/diffusers/pipelines/stable_diffusion_xl/, in the variables
of the diffusion process: q(z_t | z_0) = sqrt(abar) z_0 + sqrt(1 - abar) epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from coopdraw.exporter.host_resize import fit, resize
from coopdraw.exporter.recipe import Recipe


class HostPicture:
    """The start picture `image` (B, 3, H, W) and perhaps the `mask` (B, 1, H, W), both in [0, 1], for every model.

    `encode` has the encoders (image in [-1, 1] to scaled posterior mean) by the VAE's name.
    """

    def __init__(
        self,
        recipe: Recipe,
        encode: Mapping[str, Callable[[np.ndarray], np.ndarray]],
        inputs: Mapping[str, np.ndarray],
    ) -> None:
        self._recipe, self._encode = recipe, encode
        self._image = inputs["image"]
        masked = recipe.start is not None and recipe.start.mask
        self._mask = inputs["mask"] if masked else None
        self._latents: dict[str, np.ndarray] = {}
        self._keep_pixels = recipe.start is not None and recipe.start.keep_pixels

    def noised(self, model: str, noise: np.ndarray, sigma: float) -> np.ndarray:
        """The picture in a model's latent space at a noise level, as x = z_t / sqrt(abar)."""
        if model not in self._latents:
            fitted = fit(self._image, self._recipe.image_size_of(model)) * 2 - 1
            encode = self._encode[self._recipe.vae_of(model)]
            self._latents[model] = encode(fitted.astype(np.float32)).astype(np.float64)
        abar = 1 / (1 + sigma**2)
        z = np.sqrt(abar) * self._latents[model] + np.sqrt(1 - abar) * noise.astype(np.float64)
        x: np.ndarray = z / np.sqrt(abar)
        return x

    def restored(self, x: np.ndarray, model: str, noise: np.ndarray, sigma: float) -> np.ndarray:
        """`x` inside of the mask, the noised picture outside."""
        if self._mask is None:
            return x
        inside = resize(np.where(self._mask >= 0.5, 1.0, 0.0), (x.shape[2], x.shape[3]), "nearest") == 1
        return np.where(inside, x, self.noised(model, noise, sigma))

    def pasted(self, image: np.ndarray) -> np.ndarray:
        """The final image (B, 3, H, W) in [0, 1], over the picture if that keeps its pixels."""
        if self._mask is None or not self._keep_pixels:
            return image
        mixed: np.ndarray = self._image + self._mask.astype(np.float64) * (image - self._image)
        return mixed.astype(np.float32)
