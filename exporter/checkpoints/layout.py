"""Recognises the layouts that checkpoints come in and renames their tensors to the released MindSpore layout.

Known are: diffusers (`down_blocks.0.resnets.0.norm1.weight`), SGM as PyTorch has it
(`input_blocks.1.0.in_layers.0.weight`) and as MindSpore has it (`input_blocks.1.0.in_layers.0.gamma`), each with or
without the model's prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight

ModelKind = Literal["unet", "controlnet", "vae"]

PREFIXES: Mapping[ModelKind, str] = {
    "unet": "model.diffusion_model.",
    "controlnet": "control_model.",
    "vae": "first_stage_model.",
}

_MARKS: Mapping[ModelKind, Mapping[str, str]] = {
    "unet": {"diffusers": r"up_blocks\.0\.resnets\.0\.conv1\.weight", "SGM": r"out\.2\.weight"},
    "controlnet": {"diffusers": r"controlnet_mid_block\.weight", "SGM": r"middle_block_out\.0\.weight"},
    "vae": {
        "diffusers": r"(encoder\.down_blocks|decoder\.up_blocks)\.0\.resnets\.0\.conv1\.weight",
        "SGM": r"(encoder\.down|decoder\.up)\.0\.block\.0\.conv1\.weight",
    },
}
"""A tensor that only this kind of model has in this layout."""

_TITLES: Mapping[ModelKind, str] = {"unet": "UNet", "controlnet": "ControlNet", "vae": "VAE"}
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
    modules = _DIFFUSERS_MODULES[kind](weights) if layout == "diffusers" else {}
    renamed: dict[str, FileWeight] = {}
    for name, weight in weights.items():
        new_name = _norm_name(_rename(name, modules))
        if new_name in renamed:
            raise CheckpointError(f"{origin} has two tensors for {new_name}, one of them {name}; fetch it again")
        renamed[new_name] = _as_convolution(new_name, as_float32(name, weight, origin))
    return renamed


def _find_layout(weights: Mapping[str, FileWeight], kind: ModelKind) -> str | None:
    """Which layout the unprefixed names of a model are in, None for none."""
    for layout, mark in _MARKS[kind].items():
        if any(re.fullmatch(mark, name) for name in weights):
            return layout
    return None


def _without_prefix(weights: Mapping[str, FileWeight], prefix: str) -> dict[str, FileWeight]:
    prefixed = {name[len(prefix) :]: weight for name, weight in weights.items() if name.startswith(prefix)}
    return prefixed or dict(weights)


def _explain_unknown(weights: Mapping[str, FileWeight], kind: ModelKind, origin: str) -> str:
    for other in _MARKS:
        if other != kind and _find_layout(_without_prefix(weights, PREFIXES[other]), other):
            return f"{origin} holds a {_TITLES[other]}, not a {_TITLES[kind]}; name the other checkpoint or its kind"
    found = ", ".join(sorted(weights)[:_SHOWN]) or "no tensors"
    return (
        f"{origin} is no {_TITLES[kind]} in a known layout (diffusers, or SGM of PyTorch or MindSpore, with or without "
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


def count_numbered(weights: Mapping[str, FileWeight], module: str) -> int:
    """One more than the highest N of the names `<module>.N.<...>`, 0 if there is none; N has at most two digits."""
    pattern = re.compile(re.escape(module) + r"\.(\d{1,2})\.")
    found = (pattern.match(name) for name in weights)
    return max((int(match[1]) + 1 for match in found if match), default=0)


_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1",
}
_UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _unet_modules(weights: Mapping[str, FileWeight]) -> dict[str, str]:
    modules = dict(_UNET_ENDS)
    modules |= _resnet("mid_block.resnets.0", "middle_block.0")
    modules |= _resnet("mid_block.resnets.1", "middle_block.2")
    num_res_blocks = count_numbered(weights, "down_blocks.0.resnets")
    levels = count_numbered(weights, "down_blocks")
    for level in range(levels):
        down, up = f"down_blocks.{level}", f"up_blocks.{level}"
        first_input, first_output = 1 + level * (num_res_blocks + 1), level * (num_res_blocks + 1)
        for index in range(num_res_blocks + 1):
            modules |= _resnet(f"{down}.resnets.{index}", f"input_blocks.{first_input + index}.0")
            modules |= _resnet(f"{up}.resnets.{index}", f"output_blocks.{first_output + index}.0")
            modules[f"{down}.attentions.{index}"] = f"input_blocks.{first_input + index}.1"
            modules[f"{up}.attentions.{index}"] = f"output_blocks.{first_output + index}.1"
        modules[f"{down}.downsamplers.0.conv"] = f"input_blocks.{first_input + num_res_blocks}.0.op"
        place = 2 if any(name.startswith(f"{up}.attentions.") for name in weights) else 1
        modules[f"{up}.upsamplers.0"] = f"output_blocks.{first_output + num_res_blocks}.{place}"
    return modules


def _resnet(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{their_part}": f"{ours}.{our_part}" for their_part, our_part in _UNET_RESNET.items()}


def _controlnet_modules(weights: Mapping[str, FileWeight]) -> dict[str, str]:
    modules = _unet_modules(weights)
    hint = "controlnet_cond_embedding"
    modules[f"{hint}.conv_in"] = "input_hint_block.0"
    between = count_numbered(weights, f"{hint}.blocks")
    for index in range(between):
        modules[f"{hint}.blocks.{index}"] = f"input_hint_block.{2 * index + 2}"
    modules[f"{hint}.conv_out"] = f"input_hint_block.{2 * between + 2}"
    for index in range(count_numbered(weights, "controlnet_down_blocks")):
        modules[f"controlnet_down_blocks.{index}"] = f"zero_convs.{index}.0"
    modules["controlnet_mid_block"] = "middle_block_out.0"
    return modules


_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
}
"""diffusers' names and those of its versions before 0.17."""


def _vae_modules(weights: Mapping[str, FileWeight]) -> dict[str, str]:
    modules: dict[str, str] = {}
    for half in ("encoder", "decoder"):
        modules[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        modules[f"{half}.mid_block.resnets.0"] = f"{half}.mid.block_1"
        modules[f"{half}.mid_block.resnets.1"] = f"{half}.mid.block_2"
        for theirs, ours in _VAE_ATTENTION.items():
            modules[f"{half}.mid_block.attentions.0.{theirs}"] = f"{half}.mid.attn_1.{ours}"
    levels = max(count_numbered(weights, "encoder.down_blocks"), count_numbered(weights, "decoder.up_blocks"))
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{level}"
        modules[f"{down}.resnets"] = f"encoder.down.{level}.block"
        modules[f"{down}.downsamplers.0"] = f"encoder.down.{level}.downsample"
        modules[f"{up}.resnets"] = f"decoder.up.{levels - 1 - level}.block"
        modules[f"{up}.upsamplers.0"] = f"decoder.up.{levels - 1 - level}.upsample"
    return modules


_DIFFUSERS_MODULES: Mapping[ModelKind, Callable[[Mapping[str, FileWeight]], dict[str, str]]] = {
    "unet": _unet_modules,
    "controlnet": _controlnet_modules,
    "vae": _vae_modules,
}
"""From diffusers' module paths to the released ones."""
