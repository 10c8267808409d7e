"""Opens LoRA files: which parameters of a UNet they change and with which factors, all checked but not read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coopdraw.exporter.checkpoints.files import open_tensors
from coopdraw.exporter.checkpoints.layout import as_float32
from coopdraw.exporter.lora.errors import LoraError, listing
from coopdraw.exporter.lora.metadata import AdapterSettings, read_adapter_settings
from coopdraw.exporter.lora.names import (
    ROLES,
    Role,
    flatten,
    is_text_encoder,
    other_method,
    parameters_by_module,
    parse_tensor_name,
    unet_module,
)
from coopdraw.exporter.lora.update import LoraUpdate, factors_fit
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.graphs.weights import FileWeight, Weight


@dataclass
class _Problems:
    """What is wrong with which modules; told all at once."""

    unknown: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    bad_alpha: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        titles = {
            "unknown": self.unknown,
            "incomplete": self.incomplete,
            "misshapen": self.misshapen,
            "with an alpha that is no finite number or is 0": self.bad_alpha,
        }
        found = {title: list(dict.fromkeys(names)) for title, names in titles.items() if names}
        return "; ".join(f"{len(names)} {title} ({listing(names)})" for title, names in found.items())


@dataclass
class _Parts:
    """The tensors of one module."""

    module: str
    tensors: dict[Role, FileWeight] = field(default_factory=dict)


def open_lora(
    path: Path, weights: Mapping[str, Weight], config: UNetConfig, origin: str, ignore_text_encoder: bool = False
) -> dict[str, LoraUpdate]:
    """What a LoRA's .safetensors or MindSpore .ckpt file adds to which parameters; only the alphas' values are read.

    `weights` are the UNet's, in the released layout without prefix; `origin` names them in errors. A module without
    an alpha has that of the file's metadata, else its rank. Raises LoraError (not a LoRA, other method, parts for a
    text encoder unless `ignore_text_encoder`, modules that don't fit the UNet: all of them at once), CheckpointError
    (no such file, pickle, quantised) or WeightError (damaged file).
    """
    tensors = _unet_tensors(path, ignore_text_encoder)
    problems = _Problems()
    modules = _by_parameter(path, tensors, parameters_by_module(weights, config.num_res_blocks), problems)
    settings = read_adapter_settings(path)
    updates: dict[str, LoraUpdate] = {}
    for parameter, parts in modules.items():
        update = _update(parts, weights[parameter].type.shape, settings, problems)
        if update is not None:
            updates[parameter] = update
    if str(problems):
        raise LoraError(
            f"{path} does not fit {origin}: {problems}; check that the LoRA was made for this UNet and is complete"
        )
    return updates


def _unet_tensors(path: Path, ignore_text_encoder: bool) -> dict[str, FileWeight]:
    if path.is_dir() or path.suffix == ".json":
        raise LoraError(f"{path} is no LoRA file; name a single .safetensors or .ckpt file")
    unet: dict[str, FileWeight] = {}
    text_encoder: list[str] = []
    for name, weight in open_tensors(path).items():
        method = other_method(name)
        if is_text_encoder(name):
            text_encoder.append(_module(name))
        elif method is not None:
            raise LoraError(
                f"{path} is no plain LoRA or LoCon but a {method} (tensor {name}), which can't be merged; merge it "
                "into the checkpoint with the tool that trained it"
            )
        else:
            unet[name] = weight
    if text_encoder and not ignore_text_encoder:
        raise LoraError(
            f"{path} also changes modules of a text encoder ({listing(text_encoder)}), where a LoRA can't be merged; "
            "set ignore_text_encoder to merge only what it changes in the UNet"
        )
    if not unet:
        raise LoraError(f"{path} changes nothing in a UNet; name another LoRA or leave it out")
    return unet


def _module(name: str) -> str:
    parsed = parse_tensor_name(name)
    return name if parsed is None else parsed.module


def _by_parameter(
    path: Path, tensors: Mapping[str, FileWeight], parameters: Mapping[str, str], problems: _Problems
) -> dict[str, _Parts]:
    modules: dict[str, _Parts] = {}
    for name, weight in tensors.items():
        parsed = parse_tensor_name(name)
        parameter = None if parsed is None else parameters.get(flatten(unet_module(parsed.module)))
        if parsed is None or parameter is None:
            problems.unknown.append(_module(name))
            continue
        parts = modules.setdefault(parameter, _Parts(parsed.module))
        if parsed.role in parts.tensors:
            raise LoraError(f"{path} has two {parsed.role} tensors for {parameter}, one of them {name}; remove one")
        parts.tensors[parsed.role] = weight if parsed.role == "alpha" else as_float32(name, weight, str(path))
    return modules


def _update(
    parts: _Parts, shape: tuple[int, ...], settings: AdapterSettings | None, problems: _Problems
) -> LoraUpdate | None:
    """The update of a parameter of that shape; None, and a problem more, if the parts don't make one."""
    down, up, mid, alpha = (parts.tensors.get(role) for role in ROLES)
    if down is None or up is None:
        missing = " and ".join(role for role in ("down", "up") if role not in parts.tensors)
        problems.incomplete.append(f"{parts.module} has no {missing}")
        return None
    if not factors_fit(down.type.shape, up.type.shape, None if mid is None else mid.type.shape, shape):
        found = ", ".join(f"{role} {list(tensor.type.shape)}" for role, tensor in parts.tensors.items())
        problems.misshapen.append(f"{parts.module} has {found} for a weight {list(shape)}")
        return None
    value = _alpha(parts.module, down.type.shape[0], alpha, settings)
    if not math.isfinite(value) or value == 0:
        problems.bad_alpha.append(f"{parts.module} {value}")
        return None
    return LoraUpdate(parts.module, down, up, mid, value)


def _alpha(module: str, rank: int, stored: FileWeight | None, settings: AdapterSettings | None) -> float:
    """A module's alpha; NaN for one that is stored as no single number."""
    if stored is not None:
        return float(stored.read().reshape(())) if stored.type.size == 1 else math.nan
    return float(rank) if settings is None else settings.alpha(module, rank)
