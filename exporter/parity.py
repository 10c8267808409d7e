"""How far apart two results are, and whether that is within the recipe's limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coopdraw.exporter.error_budget import TransferError, worst
from coopdraw.exporter.recipe import Verify

_BEST_PSNR = 150.0  # a finite stand-in for identical images: JSON has no infinity, and float32 can't show more


def range_error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest absolute difference over the range (max - min) of `wanted`; NaN counts as infinite."""
    spread = float(wanted.max() - wanted.min()) or 1.0
    error = float(np.max(np.abs(found.astype(np.float64) - wanted))) / spread
    return error if np.isfinite(error) else float("inf")


def image_psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1], at most 150."""
    mean_square = float(np.mean((found.astype(np.float64) - wanted) ** 2))
    if not np.isfinite(mean_square):
        return 0.0
    return _BEST_PSNR if mean_square == 0.0 else min(_BEST_PSNR, -10.0 * math.log10(mean_square))


@dataclass(frozen=True)
class Check:
    """One figure and its limit: the most it may be, or the least."""

    what: str
    unit: str
    figure: float
    limit: float
    most: bool

    @property
    def passed(self) -> bool:
        return self.figure <= self.limit if self.most else self.figure >= self.limit

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        side = "at_most" if self.most else "at_least"
        return {"what": self.what, "unit": self.unit, "figure": self._rounded(), side: self.limit}

    def _rounded(self) -> float | None:
        """Three digits; None for what JSON can't hold."""
        return float(f"{self.figure:.3g}") if math.isfinite(self.figure) else None

    def line(self) -> str:
        verdict = "ok" if self.passed else "MISSED"
        side = "at most" if self.most else "at least"
        return f"{self.what}: {self.figure:.3g} {self.unit}, {side} {self.limit:g}: {verdict}"


@dataclass(frozen=True)
class VerificationResult:
    """Errors of a bundle against the host loop, and the limits they were held to.

    `references` says what ran each model of the host loop. `latent_error` and `text_error` (None without a text
    encoder) are largest absolute errors over the values' range. `budget` is what each transfer costs at each step.
    """

    latent_error: float
    image_psnr: float
    text_error: float | None
    limits: Verify
    references: Mapping[str, str]
    budget: tuple[TransferError, ...] = ()

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks())

    def checks(self) -> tuple[Check, ...]:
        """Each figure with its limit."""
        limits = self.limits
        latent = Check("latent", "max error / range", self.latent_error, limits.latent_error, most=True)
        image = Check("image", "PSNR in dB", self.image_psnr, limits.image_psnr, most=False)
        checks = [latent, image]
        if self.text_error is not None:
            checks.insert(
                0, Check("text encoder", "max error / range", self.text_error, limits.latent_error, most=True)
            )
        for transfer, error in worst(self.budget).items():
            checks.append(Check(transfer, "of predicted noise at worst", error, limits.transfer_error, most=True))
        return tuple(checks)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. Figures have three digits: what lies below is noise of the order of summation."""
        return {
            "reference": "host loop with a NumPy schedule",
            "models": dict(self.references),
            "checks": [check.as_dict() for check in self.checks()],
            "error_budget": [entry.as_dict() for entry in self.budget],
            "passed": self.passed,
        }

    def lines(self) -> list[str]:
        """For people: one line a check."""
        return [check.line() for check in self.checks()]
