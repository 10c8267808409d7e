"""LoRA files made for tests: random factors for modules of the structure UNet, in every naming that users have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from exporter.models.shapes import WEIGHTS
from safetensors.numpy import save_file

from coopdraw.exporter.checkpoints.files import open_tensors
from coopdraw.exporter.checkpoints.layout import to_released_layout
from coopdraw.exporter.checkpoints.load import Checkpoint, open_checkpoint

FOLDER = WEIGHTS / "structure_unet"
EPSILON = 2.0**-24
"""Relative rounding error of float32."""


@dataclass(frozen=True)
class Factors:
    """The factors of one module as arrays; `mid` for LoCon's Tucker form, `alpha` None to leave it out."""

    down: np.ndarray
    up: np.ndarray
    mid: np.ndarray | None = None
    alpha: float | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def roles(self) -> dict[str, np.ndarray]:
        arrays = {"down": self.down, "up": self.up, "mid": self.mid}
        if self.alpha is not None:
            arrays["alpha"] = np.asarray(self.alpha, np.float32)
        return {role: array for role, array in arrays.items() if array is not None}


@cache
def structure_unet() -> Checkpoint:
    """The shapes UNet whose weights LoRAs are merged into."""
    return open_checkpoint(FOLDER, "unet")


@cache
def diffusers_names() -> dict[str, str]:
    """Parameter in the released layout -> module in diffusers, of all linear layers and convolutions.

    What belongs together is told by where the bytes lie in diffusers' own file.
    """
    tensors = open_tensors(FOLDER)
    theirs = {weight.segments: name for name, weight in tensors.items()}
    released = to_released_layout(tensors, "unet", "structure")
    return {
        name: theirs[weight.segments].removesuffix(".weight")
        for name, weight in released.items()
        if name.endswith(".weight")
    }


def _kohya(module: str, role: str) -> str:
    return f"lora_unet_{module.replace('.', '_')}.{role if role == 'alpha' else f'lora_{role}.weight'}"


def _peft(module: str, role: str) -> str:
    return f"{module}.{({'down': 'lora_A.weight', 'up': 'lora_B.weight'}).get(role, role)}"


def _processor(module: str, role: str) -> str:
    attention, _, layer = module.removesuffix(".0").rpartition(".")
    return f"{attention}.processor.{layer}{'.alpha' if role == 'alpha' else f'_lora.{role}.weight'}"


def _bare(module: str, role: str, down: str, up: str) -> str:
    return f"{module}.{({'down': down, 'up': up}).get(role, role)}"


_PANGU = "model.diffusion_model."
NAMINGS: Mapping[str, tuple[str, Callable[[str, str], str]]] = {
    "kohya, diffusers blocks": ("diffusers", _kohya),
    "kohya, SGM blocks": ("SGM", _kohya),
    "PEFT": ("diffusers", lambda module, role: _peft(f"unet.{module}", role)),
    "PEFT without unet": ("diffusers", _peft),
    "diffusers": (
        "diffusers",
        lambda module, role: _bare(f"unet.{module}", role, "lora.down.weight", "lora.up.weight"),
    ),
    "diffusers, attention processors": ("diffusers", lambda module, role: f"unet.{_processor(module, role)}"),
    "mindone SD": ("SGM", lambda module, role: _bare(_PANGU + module, role, "lora_down.weight", "lora_up.weight")),
    "mindone SDXL": ("SGM", lambda module, role: _peft(_PANGU + module, role)),
    "lora_a and lora_b": ("SGM", lambda module, role: _bare(module, role, "lora_a", "lora_b")),
    "mindpet": ("SGM", lambda module, role: _bare(module, role, "mindpet_delta_lora_a", "mindpet_delta_lora_b")),
}
"""Whose modules a naming has, and what it makes of module and role."""


def is_projection(parameter: str) -> bool:
    """Whether diffusers' attention processors know the parameter's module."""
    return ".attn" in parameter


def tensor_names(naming: str, parameters: Iterable[str]) -> dict[tuple[str, str], str]:
    """(parameter, role) -> name of the tensor in a file of that naming."""
    layout, spell = NAMINGS[naming]
    modules = diffusers_names()
    return {
        (parameter, role): spell(
            modules[parameter] if layout == "diffusers" else parameter.removesuffix(".weight"), role
        )
        for parameter in parameters
        for role in ("down", "up", "mid", "alpha")
    }


def random_factors(parameter: str, rank: int, seed: int, alpha: float | None = None, tucker: bool = False) -> Factors:
    """Factors for a parameter of the structure UNet that change it about as much as it is."""
    out_channels, in_channels, *kernel = structure_unet().weights[parameter].type.shape
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) * np.float32(0.2)

    ones = [1] * len(kernel)
    if tucker:
        return Factors(
            draw(rank, in_channels, *ones), draw(out_channels, rank, *ones), draw(rank, rank, *kernel), alpha
        )
    return Factors(draw(rank, in_channels, *kernel), draw(out_channels, rank, *ones), None, alpha)


def write_lora(path: Path, naming: str, factors: Mapping[str, Factors], **metadata: str) -> Path:
    """A safetensors file with these factors by parameter."""
    names = tensor_names(naming, factors)
    tensors = {names[parameter, role]: a for parameter, part in factors.items() for role, a in part.roles().items()}
    save_file(tensors, path, metadata or None)
    return path


def change_and_bound(factors: Factors, scale: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """scale * alpha / rank * up @ [mid @] down in float64, one matrix product per place of the kernel.

    The second array is the same sum of magnitudes: what float32 rounding is relative to.
    """
    kernel = shape[2:] or (1, 1)
    alpha = factors.rank if factors.alpha is None else factors.alpha

    def at(array: np.ndarray, place: tuple[int, int]) -> np.ndarray:
        array = array.astype(np.float64)
        if array.ndim == 2:
            return array
        return array[:, :, 0, 0] if array.shape[2:] == (1, 1) else array[:, :, place[0], place[1]]

    change, bound = np.zeros((*shape[:2], *kernel)), np.zeros((*shape[:2], *kernel))
    for place in np.ndindex(*kernel):
        chain = [at(factors.up, place), at(factors.down, place)]
        if factors.mid is not None:
            chain.insert(1, at(factors.mid, place))
        change[:, :, place[0], place[1]] = scale * alpha / factors.rank * np.linalg.multi_dot(chain)
        bound[:, :, place[0], place[1]] = abs(scale * alpha) / factors.rank * np.linalg.multi_dot(list(map(abs, chain)))
    return change.reshape(shape), bound.reshape(shape)


def assert_merged(found: np.ndarray, base: np.ndarray, *merged: tuple[Factors, float]) -> None:
    """`found` is base plus the changes, as exactly as float32 can."""
    wanted, magnitude, operations = base.astype(np.float64), np.abs(base).astype(np.float64), 0
    for factors, scale in merged:
        change, bound = change_and_bound(factors, scale, base.shape)
        wanted, magnitude = wanted + change, magnitude + bound
        operations += 2 * factors.rank + 4
    # Each of the operations on an element (two sums of `rank` products, scaling, adding) rounds once.
    assert np.all(np.abs(found - wanted) <= operations * EPSILON * magnitude)
    assert found.dtype == base.dtype
