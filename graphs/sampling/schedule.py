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


def make_schedule(steps: int) -> tuple[Step, ...]:
    """The steps of a run: t = linspace(999, 0, steps, endpoint=False) cut to int, sigma = sqrt((1-abar)/abar), then 0.

    Same source as `alphas_cumprod`. Raises CoopdrawError unless 1 <= steps <= 1000.
    """
    if not 1 <= steps <= TRAINING_STEPS:
        raise CoopdrawError(f"a schedule of {steps} steps is not possible; use 1 to {TRAINING_STEPS}")
    timesteps = np.linspace(TRAINING_STEPS - 1, 0, steps, endpoint=False).astype(np.int64)
    kept = alphas_cumprod()[timesteps]
    sigmas = np.append(np.sqrt((1.0 - kept) / kept), 0.0)
    return tuple(
        Step(index, int(t), float(sigmas[index]), float(sigmas[index + 1])) for index, t in enumerate(timesteps)
    )


def initial_noise_scale(schedule: tuple[Step, ...]) -> float:
    """What unit noise is multiplied with to start: sqrt(1 + sigma_0^2)."""
    return float(np.sqrt(1.0 + schedule[0].sigma ** 2))
