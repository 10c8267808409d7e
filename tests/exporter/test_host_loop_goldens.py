"""The host loop with eager Cells and trained weights against goldens of an independent PyTorch implementation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exporter.models.shapes import WEIGHTS, golden, loaded_cell, run_all

from coopdraw.exporter.host_loop import HostModels, run_host_loop
from coopdraw.exporter.models.build import CellKind
from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.exporter.recipe import Recipe

# The design's limits. float32 sums in another order than PyTorch's differ by a few 1e-6 of the range here, more in late
# transfers, where a latent's error counts 1/sigma; a wrong formula is off by more than 1e-2.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0

FOLDERS = {
    "structure": "structure_unet",
    "texture": "texture_unet",
    "partner": "partner_unet",
    "lowres": "lowres_unet",
    "edges": "partner_controlnet",
}
MODELS: dict[str, Any] = {
    name: {"kind": kind, "weights": name}
    for kind, names in (("unet", ("structure", "texture")), ("vae", ("vae", "partner_vae", "lowres_vae")))
    for name in names
}
PARTNER: dict[str, Any] = {"kind": "unet", "weights": "partner", "vae": "partner_vae"}
LOWRES: dict[str, Any] = {"kind": "unet", "weights": "lowres", "vae": "lowres_vae", "image_size": [32, 32]}


@functools.cache
def network(name: str, kind: CellKind) -> Callable[..., list[np.ndarray]]:
    """A trained Cell as a function of arrays."""
    return functools.partial(run_all, loaded_cell(WEIGHTS / FOLDERS.get(name, name), kind))


def first(name: str, kind: CellKind) -> Callable[..., np.ndarray]:
    return lambda *arrays: network(name, kind)(*arrays)[0]


def unet(name: str, kind: CellKind) -> Callable[..., np.ndarray]:
    """A UNet, whose adapters add what they add at every step here."""
    return lambda *arrays, residuals, features: network(name, kind)(*arrays, *residuals, *features)[0]


def drawn(name: str, coop: list[dict[str, Any]], **tables: Any) -> tuple[float, float]:
    """The latent's error and the image's PSNR of the host loop with a golden's settings and inputs."""
    arrays = golden(name)
    models = MODELS | tables.pop("models", {})
    adapters = tables.get("adapters", {})
    pipeline = {
        "name": "shapes",
        "image_size": [64, 64],
        "steps": int(arrays["steps"]),
        "guidance": {"text": 5.0},
        "experts": {
            "structure": "structure",
            "texture": "texture",
            "t_struct": int(arrays["t_struct"]),
            "switch": str(arrays["switch"]),
        },
        "vae": "vae",
    }
    recipe = Recipe.model_validate({"pipeline": pipeline, "models": models, "coop": coop, **tables})
    vaes = [model for model, table in models.items() if table["kind"] == "vae"]
    networks = HostModels(
        {
            model: unet(model, "unet_controlled" if table.get("adapters") else "unet")
            for model, table in models.items()
            if table["kind"] == "unet"
        },
        {vae: first(vae, "vae_decoder") for vae in vaes},
        {vae: first(vae, "vae_encoder") for vae in vaes},
        {adapter: first(adapter, "control_hint") for adapter in adapters},
        {adapter: network(adapter, "controlnet") for adapter in adapters},
    )
    inputs = {key.removeprefix("in:"): array for key, array in arrays.items() if key.startswith("in:")}
    found = run_host_loop(recipe, networks, inputs, lambda *_: None)
    assert found["latent"].dtype == found["image"].dtype == np.float32
    return range_error(found["latent"], arrays["out:latent"]), image_psnr(found["image"], arrays["out:image"])


def latent_bridge(name: str) -> dict[str, Any]:
    arrays = golden(name)
    return {
        "bridge": "latent",
        "with": "partner",
        "strength": float(arrays["strength"]),
        "steps": arrays["window"].tolist(),
        "feedback": bool(arrays["feedback"]),
    }


@pytest.mark.slow
def test_time_decoupled() -> None:
    error, psnr = drawn("time_decoupled", [])
    assert error <= LATENT_ERROR
    assert psnr >= IMAGE_PSNR


@pytest.mark.slow
def test_latent_bridge() -> None:
    error, psnr = drawn("coop_latent", [latent_bridge("coop_latent")], models={"partner": PARTNER})
    assert error <= LATENT_ERROR
    assert psnr >= IMAGE_PSNR


@pytest.mark.slow
def test_latent_bridge_with_a_controlnet() -> None:
    name = "coop_latent_controlnet"
    error, psnr = drawn(
        name,
        [latent_bridge(name) | {"share_noise": False}],
        models={"partner": PARTNER | {"adapters": ["edges"]}},
        adapters={"edges": {"kind": "controlnet", "weights": "edges", "scale": float(golden(name)["control_scale"])}},
    )
    assert error <= LATENT_ERROR
    assert psnr >= IMAGE_PSNR


@pytest.mark.slow
def test_resolution_bridge() -> None:
    name = "coop_resolution"
    bridge = {"bridge": "resolution", "from": "lowres", "at": int(golden(name)["at"])}
    error, psnr = drawn(name, [bridge], models={"lowres": LOWRES})
    assert error <= LATENT_ERROR
    assert psnr >= IMAGE_PSNR
