from __future__ import annotations

import numpy as np
import pytest
from exporter.models.shapes import DATA, golden, loaded_cell, opened_cell, relative_error, run, run_all, run_trace
from exporter.presets import SD15_UNET, SDXL_UNET

from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.exporter.models.build import build_cell, parameter_types
from coopdraw.exporter.models.configuration import T2IAdapterConfig, UNetConfig
from coopdraw.exporter.models.errors import ConfigurationError
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.types import DType, TensorType

# float32 sums in another order than PyTorch's differ by 5e-7 of the range here; the weakest feature changes 1e-2.
GOLDEN_TOLERANCE = 2e-6

# A small random adapter and UNet of each type with what diffusers computes: full_adapter's UNet is built like SD 1.5's,
# full_adapter_xl's like SDXL's.
FOLDER = DATA / "t2i_adapter"
TYPES = pytest.mark.parametrize("name", ["full_adapter", "full_adapter_xl"])
SD15_ADAPTER = T2IAdapterConfig(3, (320, 640, 1280, 1280), 2, 8)
SDXL_ADAPTER = T2IAdapterConfig(3, (320, 640, 1280, 1280), 2, 16, "full_adapter_xl")


def numbered(arrays: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    return [arrays[f"{prefix}.{index}"] for index in range(sum(key.startswith(f"{prefix}.") for key in arrays))]


def inputs(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """latent, timestep, context and, where the model has it, vector."""
    vector = [arrays["in:vector"]] if "in:vector" in arrays else []
    return [arrays["in:x"], np.asarray([arrays["in:t"]], np.float32), arrays["in:context"], *vector]


def assert_close(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert max(relative_error(*pair) for pair in zip(found, wanted, strict=True)) <= GOLDEN_TOLERANCE


@TYPES
def test_features_and_epsilon_are_those_of_the_pytorch_model(name: str) -> None:
    arrays = golden(f"t2i_adapter/{name}")
    features = run_all(loaded_cell(FOLDER / name / "adapter", "t2i_adapter"), arrays["in:image"])
    assert_close(features, numbered(arrays, "out:feature"))
    epsilon = run(loaded_cell(FOLDER / name / "unet", "unet"), *inputs(arrays), *features)
    assert_close([epsilon], [arrays["out:eps"]])


@TYPES
def test_features_go_together_with_the_residuals_of_a_controlnet(name: str) -> None:
    arrays = golden(f"t2i_adapter/{name}")
    controls = [*numbered(arrays, "in:residual"), *numbered(arrays, "out:feature")]
    epsilon = run(loaded_cell(FOLDER / name / "unet", "unet_controlled"), *inputs(arrays), *controls)
    assert_close([epsilon], [arrays["out:eps_controlled"]])


@TYPES
def test_traces_compute_the_same(name: str) -> None:
    arrays = golden(f"t2i_adapter/{name}")
    wanted = numbered(arrays, "out:feature")
    features = run_trace(*opened_cell(FOLDER / name / "adapter", "t2i_adapter"), len(wanted), arrays["in:image"])
    assert_close(features, wanted)
    unet = FOLDER / name / "unet"
    assert_close(run_trace(*opened_cell(unet, "unet"), 1, *inputs(arrays), *features), [arrays["out:eps"]])
    controls = [*numbered(arrays, "in:residual"), *features]
    controlled = run_trace(*opened_cell(unet, "unet_controlled"), 1, *inputs(arrays), *controls)
    assert_close(controlled, [arrays["out:eps_controlled"]])


@TYPES
def test_shapes_are_known_without_a_run(name: str) -> None:
    arrays = golden(f"t2i_adapter/{name}")
    features = tuple(feature.shape for feature in numbered(arrays, "out:feature"))
    adapter = open_checkpoint(FOLDER / name / "adapter", "t2i_adapter").config
    unet = open_checkpoint(FOLDER / name / "unet", "unet").config
    assert isinstance(adapter, T2IAdapterConfig)
    assert isinstance(unet, UNetConfig)
    assert adapter.feature_shapes(1, *arrays["in:image"].shape[2:]) == features
    assert unet.feature_shapes(1, *arrays["in:x"].shape[2:])[: len(features)] == features


@pytest.mark.parametrize(
    ("adapter", "unet", "size"),
    [(SD15_ADAPTER, SD15_UNET, 512), (SDXL_ADAPTER, SDXL_UNET, 1024)],
    ids=["SD 1.5", "SDXL"],
)
def test_released_adapters_fit_their_unets(adapter: T2IAdapterConfig, unet: UNetConfig, size: int) -> None:
    assert adapter.feature_shapes(1, size, size) == unet.feature_shapes(1, size // 8, size // 8)[:4]


@pytest.mark.parametrize(
    ("config", "numbers"),
    # As counted in diffusers' T2IAdapter with the configurations of the releases.
    [
        (T2IAdapterConfig(1, (320, 640, 1280, 1280), 2, 8), 77_000_640),
        (SD15_ADAPTER, 77_369_280),
        (SDXL_ADAPTER, 79_028_160),
    ],
    ids=["SD 1.5 grey", "SD 1.5", "SDXL"],
)
def test_the_released_number_of_parameters(config: T2IAdapterConfig, numbers: int) -> None:
    types = parameter_types(build_cell("t2i_adapter", config))
    assert len(types) == 38
    assert sum(type.size for type in types.values()) == numbers
    assert types["body.4.in_conv.weight"].shape == (1280, 640, 1, 1)
    assert types["body.7.block1.weight"].shape == (1280, 1280, 3, 3)


def test_too_many_features_are_refused() -> None:
    config = open_checkpoint(FOLDER / "full_adapter" / "unet", "unet").config
    assert isinstance(config, UNetConfig)
    shapes = {"latent": (2, 4, 8, 16), "timestep": (1,), "context": (2, 5, 8)}
    shapes |= {f"feature.{index}": shape for index, shape in enumerate(config.feature_shapes(1, 8, 16))}
    types = {name: TensorType(DType.FLOAT32, shape) for name, shape in shapes.items()}
    cell = build_cell("unet", config)
    assert trace(cell, "unet", types, ["epsilon"]).entry.outputs[0].type.shape == (2, 4, 8, 16)
    with pytest.raises(MindirError, match="more features than"):
        trace(cell, "unet", {**types, "feature.more": types["feature.2"]}, ["epsilon"])


def test_an_unknown_type_of_adapter_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="adapter_type is 'light_adapter'; give full_adapter or"):
        T2IAdapterConfig(3, (320, 640, 1280, 1280), 4, 8, "light_adapter")
