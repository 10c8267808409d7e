from __future__ import annotations

import numpy as np
import pytest
from exporter.models.shapes import WEIGHTS, golden, loaded_cell, relative_error, run
from exporter.presets import PANGU_DRAW_UNET, SD15_UNET, SDXL_UNET

from coopdraw.exporter.models.build import build_cell, parameter_types

# float32 sums in another order than PyTorch's differ by 3e-7 of the range here; a tanh GELU would by 1e-5.
GOLDEN_TOLERANCE = 2e-6

# A row per kind of layer, from the list of the released SDXL checkpoint (mindspore-lab/mindone:
# examples/stable_diffusion_xl/tools/model_conversion/mindspore_key_base.yaml).
SDXL_SAMPLE = {
    "time_embed.0.weight": (1280, 320),
    "time_embed.2.bias": (1280,),
    "label_emb.0.0.weight": (1280, 2816),
    "label_emb.0.2.weight": (1280, 1280),
    "input_blocks.0.0.weight": (320, 4, 3, 3),
    "input_blocks.1.0.in_layers.0.gamma": (320,),
    "input_blocks.1.0.in_layers.0.beta": (320,),
    "input_blocks.1.0.in_layers.2.weight": (320, 320, 3, 3),
    "input_blocks.2.0.emb_layers.1.weight": (320, 1280),
    "input_blocks.2.0.out_layers.0.gamma": (320,),
    "input_blocks.2.0.out_layers.3.bias": (320,),
    "input_blocks.3.0.op.weight": (320, 320, 3, 3),
    "input_blocks.4.0.skip_connection.weight": (640, 320, 1, 1),
    "input_blocks.4.1.norm.gamma": (640,),
    "input_blocks.4.1.proj_in.weight": (640, 640),
    "input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight": (640, 640),
    "input_blocks.4.1.transformer_blocks.0.attn1.to_out.0.bias": (640,),
    "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
    "input_blocks.4.1.transformer_blocks.0.ff.net.0.proj.weight": (5120, 640),
    "input_blocks.4.1.transformer_blocks.0.ff.net.2.weight": (640, 2560),
    "input_blocks.4.1.transformer_blocks.1.norm3.beta": (640,),
    "input_blocks.6.0.op.bias": (640,),
    "input_blocks.8.1.transformer_blocks.9.attn2.to_v.weight": (1280, 2048),
    "middle_block.0.in_layers.2.weight": (1280, 1280, 3, 3),
    "middle_block.1.transformer_blocks.9.norm1.gamma": (1280,),
    "middle_block.2.out_layers.3.weight": (1280, 1280, 3, 3),
    "output_blocks.0.0.in_layers.0.gamma": (2560,),
    "output_blocks.2.0.skip_connection.weight": (1280, 1920, 1, 1),
    "output_blocks.2.1.proj_out.weight": (1280, 1280),
    "output_blocks.2.2.conv.weight": (1280, 1280, 3, 3),
    "output_blocks.5.2.conv.bias": (640,),
    "output_blocks.8.0.in_layers.2.weight": (320, 640, 3, 3),
    "out.0.gamma": (320,),
    "out.2.weight": (4, 320, 3, 3),
}


@pytest.mark.parametrize("expert", ["structure", "texture"])
def test_epsilon_is_that_of_the_pytorch_model(expert: str) -> None:
    arrays = golden(f"unet_{expert}")
    cell = loaded_cell(WEIGHTS / f"{expert}_unet", "unet")
    timestep = np.asarray([arrays["in:t"]], np.float32)
    found = run(cell, arrays["in:x"], timestep, arrays["in:context"], arrays["in:vector"])
    assert relative_error(found, arrays["out:eps"]) <= GOLDEN_TOLERANCE


def test_one_timestep_serves_the_whole_batch() -> None:
    cell = loaded_cell(WEIGHTS / "structure_unet", "unet")
    random = np.random.default_rng(0)
    latent, context, vector = (
        random.standard_normal(shape).astype(np.float32) for shape in ((2, 4, 8, 16), (2, 5, 64), (2, 160))
    )
    timestep = np.asarray([731.0], np.float32)
    both = run(cell, latent, timestep, context, vector)
    single = [run(cell, latent[i : i + 1], timestep, context[i : i + 1], vector[i : i + 1]) for i in range(2)]
    # The same float32 arithmetic, but blocked differently for another batch size.
    np.testing.assert_allclose(both, np.concatenate(single), rtol=0, atol=1e-5)


def test_sdxl_has_the_parameters_of_the_released_checkpoint() -> None:
    types = parameter_types(build_cell("unet", SDXL_UNET))
    shapes = {name: type.shape for name, type in types.items()}
    assert {name: shapes.get(name) for name in SDXL_SAMPLE} == SDXL_SAMPLE
    # Of the release: 1680 tensors, 2,567,463,684 numbers.
    assert len(shapes) == 1680
    assert sum(type.size for type in types.values()) == 2_567_463_684


def test_pangu_draw_differs_from_sdxl_only_in_the_label_embedding() -> None:
    sdxl, pangu = (parameter_types(build_cell("unet", config)) for config in (SDXL_UNET, PANGU_DRAW_UNET))
    assert sdxl.keys() == pangu.keys()
    assert [name for name in sdxl if sdxl[name] != pangu[name]] == ["label_emb.0.0.weight"]
    assert pangu["label_emb.0.0.weight"].shape == (1280, 1536)


def test_sd15_has_convolutional_projections_and_no_label_embedding() -> None:
    types = parameter_types(build_cell("unet", SD15_UNET))
    assert types["input_blocks.1.1.proj_in.weight"].shape == (320, 320, 1, 1)
    assert types["output_blocks.2.1.conv.weight"].shape == (1280, 1280, 3, 3)
    assert not any(name.startswith("label_emb") for name in types)
    # Of the release: 686 tensors, 859,520,964 numbers.
    assert len(types) == 686
    assert sum(type.size for type in types.values()) == 859_520_964
