"""Noise schedule and step sequence, in float64 NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coopdraw.graphs.errors import CoopdrawError

TRAINING_STEPS = 1000
_BETA_START, _BETA_END = 0.00085, 0.012


@dataclass(frozen=True)
class Step:
    """One step of the sampler: timestep index `t`, noise levels before and after it."""

    index: int
    t: int
    sigma: float
    sigma_next: float

    @property
    def input_scale(self) -> float:
        """c_in = 1/sqrt(sigma^2 + 1) of epsilon parameterisation."""
        return float(1.0 / np.sqrt(self.sigma**2 + 1.0))


def alphas_cumprod() -> np.ndarray:
    """(1000,) float64 of LegacyDDPMDiscretization: betas are linear in their square root.

    Source: mindspore-lab/mindone examples/stable_diffusion_xl/gm/modules/diffusionmodules/discretizer.py.
    """
    betas = np.linspace(_BETA_START**0.5, _BETA_END**0.5, TRAINING_STEPS, dtype=np.float64) ** 2
    return np.cumprod(1.0 - betas)


def make_schedule(steps: int, strength: float = 1.0) -> tuple[Step, ...]:
    """The steps of a run: t = linspace(999, 0, steps, endpoint=False) cut to int, sigma = sqrt((1-abar)/abar), then 0.

    With `strength` below 1 only the last int(steps * strength) of them, but at least one, numbered from 0.
    Sources: for the sequence that of `alphas_cumprod`; for the shortening get_timesteps in huggingface/diffusers
    src/diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py. (mindone's
    Img2ImgDiscretizationWrapper counts the final sigma of 0, too, and so mostly runs one step less.)
    Raises CoopdrawError unless 1 <= steps <= 1000 and 0 < strength <= 1.
    """
    if not 1 <= steps <= TRAINING_STEPS:
        raise CoopdrawError(f"a schedule of {steps} steps is not possible; use 1 to {TRAINING_STEPS}")
    if not 0.0 < strength <= 1.0:
        raise CoopdrawError(f"a strength of {strength} is not possible; use more than 0 and at most 1")
    timesteps = np.linspace(TRAINING_STEPS - 1, 0, steps, endpoint=False).astype(np.int64)
    kept = alphas_cumprod()[timesteps]
    sigmas = np.append(np.sqrt((1.0 - kept) / kept), 0.0)
    skipped = steps - max(int(steps * strength), 1)
    return tuple(
        Step(index - skipped, int(timesteps[index]), float(sigmas[index]), float(sigmas[index + 1]))
        for index in range(skipped, steps)
    )


def initial_noise_scale(schedule: tuple[Step, ...]) -> float:
    """What unit noise is multiplied with to start: sqrt(1 + sigma_0^2)."""
    return float(np.sqrt(1.0 + schedule[0].sigma ** 2))
