from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from exporter.models.shapes import WEIGHTS, golden, loaded_cell, opened_cell, relative_error, run, run_all, run_trace
from exporter.presets import SD15_UNET, SDXL_UNET

from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import ControlNetConfig, UNetConfig
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.types import DType, TensorType

# float32 sums in another order than PyTorch's differ by 4e-7 of the range here; the weakest residual changes 6e-3.
GOLDEN_TOLERANCE = 2e-6

UNET = WEIGHTS / "partner_unet"
CONTROLNET = WEIGHTS / "partner_controlnet"
RESIDUALS = 5

# Names and shapes of the released lllyasviel/ControlNet:control_sd15_canny, below `control_model.`.
SD15_SAMPLE = {
    "time_embed.0.weight": (1280, 320),
    "input_blocks.0.0.weight": (320, 4, 3, 3),
    "input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
    "input_blocks.9.0.op.weight": (1280, 1280, 3, 3),
    "input_blocks.11.0.in_layers.0.gamma": (1280,),
    "zero_convs.0.0.weight": (320, 320, 1, 1),
    "zero_convs.4.0.bias": (640,),
    "zero_convs.11.0.weight": (1280, 1280, 1, 1),
    "input_hint_block.0.weight": (16, 3, 3, 3),
    "input_hint_block.4.weight": (32, 16, 3, 3),
    "input_hint_block.8.weight": (96, 32, 3, 3),
    "input_hint_block.12.weight": (256, 96, 3, 3),
    "input_hint_block.14.weight": (320, 256, 3, 3),
    "middle_block.1.proj_out.weight": (1280, 1280, 1, 1),
    "middle_block_out.0.weight": (1280, 1280, 1, 1),
}


def controlnet_of(unet: UNetConfig) -> ControlNetConfig:
    """A ControlNet with the released hint convolutions."""
    return ControlNetConfig(**asdict(unet))


def inputs(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """latent, timestep, context, vector."""
    return [arrays["in:x"], np.asarray([arrays["in:t"]], np.float32), arrays["in:context"], arrays["in:vector"]]


def residuals(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[f"out:residual.{index}"] for index in range(RESIDUALS)]


def test_hint_and_residuals_are_those_of_the_pytorch_model() -> None:
    arrays = golden("controlnet")
    hint = run(loaded_cell(CONTROLNET, "control_hint"), arrays["in:image"])
    assert relative_error(hint, arrays["out:hint"]) <= GOLDEN_TOLERANCE
    found = run_all(loaded_cell(CONTROLNET, "controlnet"), *inputs(arrays), hint)
    errors = [relative_error(*pair) for pair in zip(found, residuals(arrays), strict=True)]
    assert max(errors) <= GOLDEN_TOLERANCE


def test_the_controlled_epsilon_is_that_of_the_pytorch_model() -> None:
    arrays = golden("controlnet")
    found = run(loaded_cell(UNET, "unet_controlled"), *inputs(arrays), *residuals(arrays))
    assert relative_error(found, arrays["out:eps"]) <= GOLDEN_TOLERANCE


def test_traces_compute_the_same() -> None:
    arrays = golden("controlnet")
    (hint,) = run_trace(*opened_cell(CONTROLNET, "control_hint"), 1, arrays["in:image"])
    found = run_trace(*opened_cell(CONTROLNET, "controlnet"), RESIDUALS, *inputs(arrays), hint)
    errors = [relative_error(*pair) for pair in zip(found, residuals(arrays), strict=True)]
    (epsilon,) = run_trace(*opened_cell(UNET, "unet_controlled"), 1, *inputs(arrays), *found)
    assert max(*errors, relative_error(epsilon, arrays["out:eps"])) <= GOLDEN_TOLERANCE


def test_residuals_of_zero_change_nothing() -> None:
    arrays = golden("controlnet")
    zeros = [np.zeros_like(residual) for residual in residuals(arrays)]
    controlled = run(loaded_cell(UNET, "unet_controlled"), *inputs(arrays), *zeros)
    np.testing.assert_array_equal(controlled, run(loaded_cell(UNET, "unet"), *inputs(arrays)))


def test_one_hint_serves_the_whole_batch() -> None:
    arrays = golden("controlnet")
    cell = loaded_cell(CONTROLNET, "controlnet")
    hint = arrays["out:hint"]
    for one, two in zip(
        run_all(cell, *inputs(arrays), hint), run_all(cell, *inputs(arrays), np.tile(hint, (2, 1, 1, 1))), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_the_controlled_unet_has_the_parameters_of_the_plain_one() -> None:
    assert parameter_types(build_cell("unet_controlled", SD15_UNET)) == parameter_types(build_cell("unet", SD15_UNET))


@pytest.mark.parametrize(
    ("unet", "tensors", "numbers"),
    # As counted in diffusers' ControlNetModel with the configurations of the releases.
    [(SD15_UNET, 340, 361_279_120), (SDXL_UNET, 844, 1_251_014_160)],
    ids=["SD 1.5", "SDXL"],
)
def test_both_cells_together_have_the_released_parameters(unet: UNetConfig, tensors: int, numbers: int) -> None:
    config = controlnet_of(unet)
    types = parameter_types(build_cell("control_hint", config)) | parameter_types(build_cell("controlnet", config))
    assert len(types) == tensors
    assert sum(type.size for type in types.values()) == numbers
    if unet == SD15_UNET:
        shapes = {name: type.shape for name, type in types.items()}
        assert {name: shapes.get(name) for name in SD15_SAMPLE} == SD15_SAMPLE


@pytest.mark.slow
@pytest.mark.parametrize("unet", [SD15_UNET, SDXL_UNET], ids=["SD 1.5", "SDXL"])
def test_released_sizes_trace_without_weights(unet: UNetConfig) -> None:
    config = controlnet_of(unet)

    def types(**shapes: tuple[int, ...]) -> dict[str, TensorType]:
        return {name: TensorType(DType.FLOAT32, shape) for name, shape in shapes.items()}

    common = types(latent=(2, 4, 64, 64), timestep=(1,), context=(2, 77, unet.context_dim))
    if unet.vector_dim is not None:
        common |= types(vector=(2, unet.vector_dim))
    wanted = config.residual_shapes(2, 64, 64)
    names = [f"residual.{index}" for index in range(len(wanted))]
    hint = trace(build_cell("control_hint", config), "hint", types(image=(1, 3, 512, 512)), ["hint"])
    assert hint.entry.outputs[0].type.shape == (1, 320, 64, 64)
    controlnet = trace(build_cell("controlnet", config), "net", common | types(hint=(1, 320, 64, 64)), names)
    assert tuple(value.type.shape for value in controlnet.entry.outputs) == wanted
    residual_types = {name: TensorType(DType.FLOAT32, shape) for name, shape in zip(names, wanted, strict=True)}
    controlled = trace(build_cell("unet_controlled", unet), "unet", common | residual_types, ["epsilon"])
    assert [value.name for value in controlled.entry.inputs] == [*common, *names]
    assert controlled.entry.outputs[0].type.shape == (2, 4, 64, 64)


def test_a_controlnet_is_no_unet() -> None:
    with pytest.raises(ConfigurationError, match="'unet' has a ControlNetConfig"):
        build_cell("unet", controlnet_of(SD15_UNET))
    with pytest.raises(ConfigurationError, match="'controlnet' has a UNetConfig"):
        build_cell("controlnet", SD15_UNET)
