from __future__ import annotations

import pytest
from exporter.checkpoints.synthetic import shapes_only
from exporter.presets import SD15_UNET, SDXL_UNET

from coopdraw.exporter.checkpoints.layout import to_released_layout
from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.names import TensorName, diffusers_module, parameters_by_module, parse_tensor_name
from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import UNetConfig
from coopdraw.graphs.types import TensorType

# From the conversion table of SDXL's blocks in kohya-ss/sd-scripts:library/sdxl_model_util.py.
SDXL_MODULES = {
    "input_blocks.0.0": "conv_in",
    "input_blocks.1.0.in_layers.2": "down_blocks.0.resnets.0.conv1",
    "input_blocks.3.0.op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks.4.0.skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    "input_blocks.4.1.proj_in": "down_blocks.1.attentions.0.proj_in",
    "input_blocks.8.1.transformer_blocks.9.attn2.to_v": "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_v",
    "middle_block.0.out_layers.3": "mid_block.resnets.0.conv2",
    "middle_block.1.proj_out": "mid_block.attentions.0.proj_out",
    "middle_block.2.emb_layers.1": "mid_block.resnets.1.time_emb_proj",
    "output_blocks.2.2.conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks.5.1.transformer_blocks.1.ff.net.2": "up_blocks.1.attentions.2.transformer_blocks.1.ff.net.2",
    "output_blocks.8.0.in_layers.2": "up_blocks.2.resnets.2.conv1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "out.2": "conv_out",
}
# SD 1.x has no attention at its lowest level, so its first upsampler is at another place.
SD15_MODULES = {
    "input_blocks.11.0.in_layers.2": "down_blocks.3.resnets.1.conv1",
    "output_blocks.2.1.conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks.11.1.proj_in": "up_blocks.3.attentions.2.proj_in",
}


@pytest.mark.parametrize(("config", "modules"), [(SDXL_UNET, SDXL_MODULES), (SD15_UNET, SD15_MODULES)])
def test_modules_have_the_names_of_diffusers(config: UNetConfig, modules: dict[str, str]) -> None:
    assert {module: diffusers_module(module, config.num_res_blocks) for module in modules} == modules


@pytest.mark.parametrize("config", [SDXL_UNET, SD15_UNET])
def test_every_module_of_a_released_unet_comes_back_from_its_name_in_diffusers(config: UNetConfig) -> None:
    types = {name: type for name, type in _parameters(config).items() if name.endswith(".weight")}
    theirs = {
        f"{diffusers_module(name.removesuffix('.weight'), config.num_res_blocks)}.weight": type
        for name, type in types.items()
    }
    back = to_released_layout(shapes_only(theirs), "unet", "diffusers")
    assert list(back) == list(types)
    table = parameters_by_module(types, config.num_res_blocks)
    assert set(table.values()) == set(types)
    assert [table[f"{name.removesuffix('.weight').replace('.', '_')}"] for name in theirs] == list(types)


def _parameters(config: UNetConfig) -> dict[str, TensorType]:
    return parameter_types(build_cell("unet", config))


@pytest.mark.parametrize(
    ("name", "module", "role"),
    [
        ("lora_unet_out_2.lora_down.weight", "lora_unet_out_2", "down"),
        ("lora_unet_out_2.lora_mid.weight", "lora_unet_out_2", "mid"),
        ("lora_unet_out_2.alpha", "lora_unet_out_2", "alpha"),
        ("unet.conv_in.lora_A.weight", "unet.conv_in", "down"),
        ("unet.conv_in.lora_B.default.weight", "unet.conv_in", "up"),
        ("conv_in.lora.up.weight", "conv_in", "up"),
        ("conv_in.lora_linear_layer.down.weight", "conv_in", "down"),
        ("a.attn1.processor.to_out_lora.up.weight", "a.attn1.processor.to_out", "up"),
        ("out.2.mindpet_delta_lora_a", "out.2", "down"),
        ("out.2.mindpet_delta_lora_B", "out.2", "up"),
        ("out.2.lora_b", "out.2", "up"),
        ("out.2.lora_up", "out.2", "up"),
    ],
)
def test_tensor_names_tell_module_and_role(name: str, module: str, role: str) -> None:
    assert parse_tensor_name(name) == TensorName(module, role)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["out.2.weight", "out.2.bias", "lora_unet_out_2.scalar", "unet.conv_in.lora_B.bias", "lora_down.weight", ""]
)
def test_other_tensors_are_none_of_a_lora(name: str) -> None:
    assert parse_tensor_name(name) is None


def test_parameters_that_a_name_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(LoraError, match=r"can't tell a\.b\.weight from a_b\.weight"):
        parameters_by_module(["a.b.weight", "a_b.weight"], 1)
