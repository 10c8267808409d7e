"""Samplers as functions of the graph, in the variable x = z0 + sigma * epsilon."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph
from coopdraw.graphs.sampling.schedule import Step
from coopdraw.graphs.types import DType, TensorType


def build_euler(latent: TensorType, name: str) -> Graph:
    """Function (latent, denoised, kept, gained) -> latent of the next step: kept * x + gained * x0.

    Euler's x + (x - x0)/sigma * (sigma_next - sigma) with kept = sigma_next/sigma and gained = 1 - kept: nothing is
    divided by sigma. Source: mindspore-lab/mindone examples/stable_diffusion_xl/gm/modules/diffusionmodules/sampler.py.
    """
    builder = GraphBuilder(name)
    x, denoised = builder.input("latent", latent), builder.input("denoised", latent)
    scalar = TensorType(latent.dtype, ())
    kept, gained = builder.input("kept", scalar), builder.input("gained", scalar)
    moved = builder.add("add", builder.add("mul", x, kept), builder.add("mul", denoised, gained))
    return builder.build([moved], ["next"])


def euler_coefficients(step: Step, dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    """(kept, gained) of a step as 0-d arrays, computed in float64."""
    kept = step.sigma_next / step.sigma
    return np.asarray(kept, dtype.numpy), np.asarray(1.0 - kept, dtype.numpy)
