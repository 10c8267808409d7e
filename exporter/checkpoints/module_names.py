"""Which module of a checkpoint in another layout is which module of the released layout.

Each function looks at a checkpoint's tensor names and gives a table from its module paths to the released ones; what
isn't in the table is named alike in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from coopdraw.graphs.weights import FileWeight

Weights: TypeAlias = Mapping[str, FileWeight]


def count_numbered(weights: Weights, module: str) -> int:
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


def unet_modules(weights: Weights) -> dict[str, str]:
    """diffusers' UNet2DConditionModel."""
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


def controlnet_modules(weights: Weights) -> dict[str, str]:
    """diffusers' ControlNetModel."""
    modules = unet_modules(weights)
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


def vae_modules(weights: Weights) -> dict[str, str]:
    """diffusers' AutoencoderKL."""
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


def t2i_adapter_modules(weights: Weights) -> dict[str, str]:
    """diffusers' T2IAdapter, whose blocks are lists of the released ones."""
    num_res_blocks = count_numbered(weights, "body.0.resnets")
    modules: dict[str, str] = {}
    for level in range(count_numbered(weights, "body")):
        first = level * num_res_blocks
        modules[f"body.{level}.in_conv"] = f"body.{first}.in_conv"
        for index in range(num_res_blocks):
            modules[f"body.{level}.resnets.{index}"] = f"body.{first + index}"
    return modules


def mindone_t2i_adapter_modules(weights: Weights) -> dict[str, str]:
    """mindspore-lab/mindone:examples/t2i_adapter, with chains of pooling, convolution and residuals."""
    modules: dict[str, str] = {}
    done = 0
    for level in range(count_numbered(weights, "body")):
        for index in range(count_numbered(weights, f"body.{level}")):
            chained = f"body.{level}.{index}"
            if f"{chained}.weight" in weights:
                modules[chained] = f"body.{done}.in_conv" if level else "conv_in"
            elif f"{chained}.block.0.weight" in weights:
                modules |= {f"{chained}.block.0": f"body.{done}.block1", f"{chained}.block.2": f"body.{done}.block2"}
                done += 1
    return modules


def no_modules(weights: Weights) -> dict[str, str]:
    """The released layout itself."""
    return {}


Renaming: TypeAlias = Callable[[Weights], dict[str, str]]
