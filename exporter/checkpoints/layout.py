"""Recognises the layouts that checkpoints come in and renames their tensors to the released MindSpore layout.

Known are: diffusers (`down_blocks.0.resnets.0.norm1.weight`), SGM as PyTorch has it
(`input_blocks.1.0.in_layers.0.weight`) and as MindSpore has it (`input_blocks.1.0.in_layers.0.gamma`), each with or
without the model's prefix. T2I-Adapters come as diffusers, TencentARC and MindONE name them; the second is released.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.exporter.checkpoints.module_names import (
    Renaming,
    controlnet_modules,
    mindone_t2i_adapter_modules,
    no_modules,
    t2i_adapter_modules,
    unet_modules,
    vae_modules,
)
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight

ModelKind = Literal["unet", "controlnet", "t2i_adapter", "vae"]

PREFIXES: Mapping[ModelKind, str] = {
    "unet": "model.diffusion_model.",
    "controlnet": "control_model.",
    "t2i_adapter": "adapter.",
    "vae": "first_stage_model.",
}


@dataclass(frozen=True)
class _Layout:
    """A tensor (a pattern) that only this kind of model has in this layout, and how its modules are renamed."""

    name: str
    mark: str
    modules: Renaming = no_modules


_LAYOUTS: Mapping[ModelKind, tuple[_Layout, ...]] = {
    "unet": (
        _Layout("diffusers", r"up_blocks\.0\.resnets\.0\.conv1\.weight", unet_modules),
        _Layout("SGM", r"out\.2\.weight"),
    ),
    "controlnet": (
        _Layout("diffusers", r"controlnet_mid_block\.weight", controlnet_modules),
        _Layout("SGM", r"middle_block_out\.0\.weight"),
    ),
    "t2i_adapter": (
        _Layout("diffusers", r"body\.0\.resnets\.0\.block1\.weight", t2i_adapter_modules),
        _Layout("TencentARC", r"body\.0\.block1\.weight"),
        _Layout("MindONE", r"body\.0\.1\.block\.0\.weight", mindone_t2i_adapter_modules),
    ),
    "vae": (
        _Layout("diffusers", r"(encoder\.down_blocks|decoder\.up_blocks)\.0\.resnets\.0\.conv1\.weight", vae_modules),
        _Layout("SGM", r"(encoder\.down|decoder\.up)\.0\.block\.0\.conv1\.weight"),
    ),
}

_TITLES: Mapping[ModelKind, str] = {
    "unet": "UNet",
    "controlnet": "ControlNet",
    "t2i_adapter": "T2I-Adapter",
    "vae": "VAE",
}
_NORM = re.compile(r"(.*\.)?(norm\d?|norm_out|in_layers\.0|out_layers\.0)|out\.0")
_SHOWN = 5


def to_released_layout(weights: Mapping[str, FileWeight], kind: ModelKind, origin: str) -> dict[str, FileWeight]:
    """The tensors of one model under their released MindSpore names without prefix, read as float32.

    `weights` may hold other models too if the names are prefixed. `origin` names the checkpoint in errors. Raises
    CheckpointError if the tensors are in no known layout, are of another kind of model, or are quantised.
    """
    weights = _without_prefix(weights, PREFIXES[kind])
    layout = _find_layout(weights, kind)
    if layout is None:
        raise CheckpointError(_explain_unknown(weights, kind, origin))
    modules = layout.modules(weights)
    renamed: dict[str, FileWeight] = {}
    for name, weight in weights.items():
        new_name = _norm_name(_rename(name, modules))
        if new_name in renamed:
            raise CheckpointError(f"{origin} has two tensors for {new_name}, one of them {name}; fetch it again")
        renamed[new_name] = _as_convolution(new_name, as_float32(name, weight, origin))
    return renamed


def _find_layout(weights: Mapping[str, FileWeight], kind: ModelKind) -> _Layout | None:
    """Which layout the unprefixed names of a model are in, None for none."""
    for layout in _LAYOUTS[kind]:
        if any(re.fullmatch(layout.mark, name) for name in weights):
            return layout
    return None


def _without_prefix(weights: Mapping[str, FileWeight], prefix: str) -> dict[str, FileWeight]:
    prefixed = {name[len(prefix) :]: weight for name, weight in weights.items() if name.startswith(prefix)}
    return prefixed or dict(weights)


def _explain_unknown(weights: Mapping[str, FileWeight], kind: ModelKind, origin: str) -> str:
    for other in _LAYOUTS:
        if other != kind and _find_layout(_without_prefix(weights, PREFIXES[other]), other):
            return f"{origin} holds a {_TITLES[other]}, not a {_TITLES[kind]}; name the other checkpoint or its kind"
    found = ", ".join(sorted(weights)[:_SHOWN]) or "no tensors"
    known = ", ".join(layout.name for layout in _LAYOUTS[kind])
    return (
        f"{origin} is no {_TITLES[kind]} in a known layout ({known}, of PyTorch or MindSpore, with or without "
        f"{PREFIXES[kind]}); it holds {found}{' ...' if len(weights) > _SHOWN else ''}"
    )


def as_float32(name: str, weight: FileWeight, origin: str) -> FileWeight:
    """The weight read as float32; raises CheckpointError for a quantised one."""
    if not weight.stored.dtype.is_floating:
        raise CheckpointError(
            f"{origin}: tensor {name} is {weight.stored.dtype}; quantised weights are not supported, use float ones"
        )
    return weight.as_dtype(DType.FLOAT32)


def _norm_name(name: str) -> str:
    """Norms have `gamma` and `beta` instead of PyTorch's `weight` and `bias`."""
    module, _, last = name.rpartition(".")
    if last in ("weight", "bias") and _NORM.fullmatch(module):
        return f"{module}.{'gamma' if last == 'weight' else 'beta'}"
    return name


def _as_convolution(name: str, weight: FileWeight) -> FileWeight:
    """The VAE's attention has 1x1 convolutions where diffusers has linear layers."""
    if re.search(r"\.attn_1\.(q|k|v|proj_out)\.weight$", name) and len(weight.type.shape) == 2:
        return weight.as_type(TensorType(weight.type.dtype, (*weight.type.shape, 1, 1)))
    return weight


def _rename(name: str, modules: Mapping[str, str]) -> str:
    """Renames the longest module path in front of `name` that is in the table."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = modules.get(".".join(parts[:length]))
        if module is not None:
            return ".".join([module, *parts[length:]]).replace(".conv_shortcut.", ".nin_shortcut.")
    return name
