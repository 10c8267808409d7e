"""What the tensors of a LoRA file are called, and which parameter of the UNet each belongs to.

Known spellings of one module:
- kohya-ss/sd-scripts:networks/lora.py and LyCORIS: `lora_unet_<module with _ for .>.lora_down.weight`, `.alpha`
- PEFT and huggingface/diffusers:src/diffusers/utils/state_dict_utils.py: `unet.<module>.lora_A.weight`, before that
  `<module>.lora.down.weight` and `<attention>.processor.to_q_lora.down.weight`
- mindspore-lab/mindone:mindone/models/lora.py (`<module>.lora_down.weight`),
  examples/stable_diffusion_xl/gm/modules/lora/layers.py (`<module>.lora_A.weight`), and the parameters of
  mindpet:tk/delta/lora.py (`<module>.mindpet_delta_lora_a`)

Modules are named as in diffusers or as in SGM in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from coopdraw.exporter.lora.errors import LoraError

Role = Literal["down", "up", "mid", "alpha"]
ROLES: tuple[Role, ...] = ("down", "up", "mid", "alpha")

_UNET_PREFIXES = ("lora_unet_", "model.diffusion_model.", "diffusion_model.", "unet.")
_TEXT_ENCODER_PREFIXES = ("lora_te", "text_encoder", "cond_stage_model.", "conditioner.")

_FACTOR = re.compile(
    r"(?P<module>.+?)[._](?:mindpet_delta_)?lora[._](?:linear_layer\.)?(?P<role>down|up|mid|[AaBb])"
    r"(?:\.default)?(?:\.weight)?"
)
_ALPHA = re.compile(r"(?P<module>.+)\.alpha")
_ROLES: Mapping[str, Role] = {"down": "down", "up": "up", "mid": "mid", "a": "down", "b": "up"}

_OTHER_METHODS: Mapping[str, re.Pattern[str]] = {
    "DoRA": re.compile(r".*\.(dora_scale|lora_magnitude_vector(\..*)?)"),
    "LoHa": re.compile(r".*\.hada_.*"),
    "LoKr": re.compile(r".*\.lokr_.*"),
    "OFT": re.compile(r".*\.oft_.*"),
    "(IA)^3": re.compile(r".*\.on_input"),
    "full difference": re.compile(r".*\.(diff|diff_b|w_norm|b_norm)"),
}

_DIFFUSERS_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.2": "conv_out",
}
_DIFFUSERS_RESNET = {
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_STAGE = re.compile(r"(?P<side>input|output)_blocks\.(?P<index>\d+)\.(?P<place>\d+)\.(?P<rest>.+)")
_MIDDLE = re.compile(r"middle_block\.(?P<place>\d+)\.(?P<rest>.+)")


@dataclass(frozen=True)
class TensorName:
    """A tensor of a LoRA file: which module it changes, as the file spells it, and what it is there."""

    module: str
    role: Role


def parse_tensor_name(name: str) -> TensorName | None:
    """What a tensor's name says, None if it is none of a LoRA."""
    alpha = _ALPHA.fullmatch(name)
    if alpha:
        return TensorName(alpha["module"], "alpha")
    factor = _FACTOR.fullmatch(name)
    return TensorName(factor["module"], _ROLES[factor["role"].lower()]) if factor else None


def other_method(name: str) -> str | None:
    """The method that a tensor's name belongs to if that is a known one other than LoRA and LoCon."""
    return next((method for method, pattern in _OTHER_METHODS.items() if pattern.fullmatch(name)), None)


def is_text_encoder(name: str) -> bool:
    """Whether a tensor changes a text encoder."""
    return name.startswith(_TEXT_ENCODER_PREFIXES)


def unet_module(module: str) -> str:
    """A module as the file spells it, without the prefix for the UNet and diffusers' attention processors."""
    prefix = next((prefix for prefix in _UNET_PREFIXES if module.startswith(prefix)), "")
    return module.removeprefix(prefix).replace(".processor.", ".")


def flatten(module: str) -> str:
    """The spelling that dotted names and kohya's have in common."""
    return module.replace(".", "_")


def parameters_by_module(parameters: Iterable[str], num_res_blocks: int) -> dict[str, str]:
    """The parameter that each module's weight is, by the flattened name of the module in SGM and in diffusers.

    `parameters` are in the released layout without prefix. Raises LoraError if two would have the same name.
    """
    found: dict[str, str] = {}
    for parameter in parameters:
        module = parameter.removesuffix(".weight")
        if module == parameter:
            continue
        for spelling in (module, diffusers_module(module, num_res_blocks)):
            # Diffusers' attention processors know the output projection as `to_out`.
            for name in (spelling, re.sub(r"\.to_out\.0$", ".to_out", spelling)):
                other = found.setdefault(flatten(name), parameter)
                if other != parameter:
                    raise LoraError(f"a LoRA can't tell {other} from {parameter}; rename one of these parameters")
    return found


def diffusers_module(module: str, num_res_blocks: int) -> str:
    """Diffusers' name of a UNet's module in the released layout; any other name stays as it is."""
    if module in _DIFFUSERS_ENDS:
        return _DIFFUSERS_ENDS[module]
    middle = _MIDDLE.fullmatch(module)
    if middle:
        place = int(middle["place"])
        return _diffusers_block("mid_block", place == 1, place // 2, middle["rest"])
    stage = _STAGE.fullmatch(module)
    if not stage:
        return module
    is_input, rest = stage["side"] == "input", stage["rest"]
    # The first input block is the convolution before all levels.
    level, index = divmod(int(stage["index"]) - is_input, num_res_blocks + 1)
    block = f"{'down' if is_input else 'up'}_blocks.{level}"
    if rest in ("op", "conv"):
        return f"{block}.{'downsamplers' if is_input else 'upsamplers'}.0.conv"
    return _diffusers_block(block, stage["place"] == "1", index, rest)


def _diffusers_block(block: str, is_attention: bool, index: int, rest: str) -> str:
    if is_attention:
        return f"{block}.attentions.{index}.{rest}"
    return f"{block}.resnets.{index}.{_DIFFUSERS_RESNET.get(rest, rest)}"
