"""The pipeline as users run it today: eager Cells in a Python loop with a NumPy schedule. The oracle of `verify`.

It shares no code with `graphs/sampling` on purpose: schedule, switch, guidance and Euler step are written again here in
their textbook form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from coopdraw.exporter.recipe import Experts, Recipe

Predict = Callable[..., np.ndarray]
"""(latent, timestep, context[, vector]) -> epsilon, arrays with all branches in the batch."""


def host_schedule(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Timesteps (steps,) and sigmas (steps + 1,), float64: the released LegacyDDPMDiscretization (arXiv 2312.16486)."""
    root_betas = np.linspace(np.sqrt(0.00085), np.sqrt(0.012), 1000)
    abar = np.exp(np.cumsum(np.log1p(-(root_betas**2))))
    timesteps = np.linspace(999, 0, steps, endpoint=False).astype(int)
    return timesteps, np.append(np.sqrt(1 / abar[timesteps] - 1), 0.0)


def host_experts(experts: Experts, timesteps: np.ndarray) -> Iterator[str]:
    """The model of each step."""
    looked_at = timesteps if experts.switch == "current" else np.concatenate([[1000], timesteps[:-1]])
    for t in looked_at:
        yield experts.structure if t >= experts.t_struct else experts.texture


def run_host_loop(
    recipe: Recipe,
    models: Mapping[str, Predict],
    decode: Callable[[np.ndarray], np.ndarray],
    inputs: Mapping[str, np.ndarray],
    progress: Callable[[int, int], None],
) -> dict[str, np.ndarray]:
    """`latent` and `image` for the same inputs as the compiled graph takes; arrays are float32, updates float64."""
    settings = recipe.pipeline
    timesteps, sigmas = host_schedule(settings.steps)
    branches = ["text", *(name for name in settings.guidance if name != "text")]
    if settings.guidance["text"] != 1.0:
        branches.insert(0, "uncond")
    conditions = [
        np.concatenate([inputs[f"{kind}.{branch}"] for branch in branches])
        for kind in ("context", "vector")
        if f"{kind}.{branches[0]}" in inputs
    ]
    x = inputs["noise"].astype(np.float64) * np.sqrt(1 + sigmas[0] ** 2)
    for index, expert in enumerate(host_experts(settings.experts, timesteps)):
        sigma, sigma_next = sigmas[index], sigmas[index + 1]
        batch = np.concatenate([x / np.sqrt(sigma**2 + 1)] * len(branches)).astype(np.float32)
        epsilon = models[expert](batch, np.array([timesteps[index]], np.float32), *conditions)
        x0 = x - sigma * guided(dict(zip(branches, np.split(epsilon, len(branches)), strict=True)), settings.guidance)
        x = x + (x - x0) / sigma * (sigma_next - sigma)
        progress(index + 1, settings.steps)
    latent = x.astype(np.float32)
    return {"latent": latent, "image": np.clip(decode(latent) * 0.5 + 0.5, 0.0, 1.0)}


def guided(epsilon: Mapping[str, np.ndarray], scales: Mapping[str, float]) -> np.ndarray:
    """uc + s*(c - uc) + sum_k s_k*(c_k - c)."""
    text = epsilon["text"].astype(np.float64)
    base = epsilon.get("uncond", text)
    result: np.ndarray = base + scales["text"] * (text - base)
    for style in set(scales) - {"text"}:
        result = result + scales[style] * (epsilon[style] - text)
    return result
