"""How many norms, gates and sums fuse in whole networks: all that their configurations say there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from exporter.models.shapes import WEIGHTS, golden, opened_cell, relative_error
from exporter.presets import SD15_UNET, SDXL_UNET, SDXL_VAE
from graphs.passes.fusions.test_group_norm_random import PASSES
from mindspore import nn

from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.exporter.models.build import CellKind, build_cell
from coopdraw.exporter.models.configuration import AutoencoderConfig, UNetConfig
from coopdraw.exporter.tracing import trace
from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.manager import PassManager, PassRecord
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight
from exporter import mint_cells, norm_cells

Counts = dict[str, int]
# Norms, sums and gates in another order, in float32 and through all layers, as a part of the output's range; PyTorch's
# order makes as large a difference.
TOLERANCE = 3e-6


def expected_unet(config: UNetConfig, decoder: bool = True) -> Counts:
    """From the architecture alone: two norms with SiLU and one embedding per residual block, a third norm at the end;
    three norms per transformer block, all but the first of a transformer behind a residual sum.
    """
    blocks_of_level = config.num_res_blocks + (config.num_res_blocks + 1) * decoder
    residual = blocks_of_level * len(config.channel_mult) + 2
    transformers = blocks_of_level * sum(depth > 0 for depth in config.transformer_depth) + 1
    blocks = blocks_of_level * sum(config.transformer_depth) + config.middle_transformer_depth
    return {
        "group norm with silu": 2 * residual + decoder,
        "embedding": residual,
        "layer norm with sum": 3 * blocks - transformers,
        "layer norm": transformers,
        "geglu": blocks,
    }


def expected_autoencoder(config: AutoencoderConfig, decoder: bool) -> Counts:
    residual = (config.num_res_blocks + decoder) * len(config.channel_mult) + 2
    return {"group norm with silu": 2 * residual + 1}


def count(module: Module) -> Counts:
    found: Counter[str] = Counter()
    for node in module.entry.nodes:
        if node.operator == "fused_group_norm":
            found["group norm with silu"] += node.attributes["activation"] == "silu"
            found["embedding"] += node.attributes["add"] == "channel"
        names = {"fused_layer_norm": "layer norm with sum", "layer_norm": "layer norm", "geglu": "geglu"}
        if node.operator in names:
            found[names[node.operator]] += 1
    return {name: number for name, number in found.items() if number}


def fused(module: Module) -> tuple[Module, dict[str, PassRecord]]:
    module, records = PassManager((*basic_passes(), *PASSES)).run(module)
    fusions = {record.name: record for record in records if record.name in {step.name for step in PASSES}}
    assert not any(record.misses for record in fusions.values())
    return module, fusions


def f32(*shape: int) -> TensorType:
    return TensorType(DType.FLOAT32, shape)


def unet_types(config: UNetConfig, size: int) -> dict[str, TensorType]:
    vector = {} if config.vector_dim is None else {"vector": f32(2, config.vector_dim)}
    latent = f32(2, config.in_channels, size, size)
    return {"latent": latent, "timestep": f32(1), "context": f32(2, 7, config.context_dim), **vector}


@pytest.mark.parametrize(
    ("config", "norms", "embeddings", "gates"),
    [
        pytest.param(SDXL_UNET, 35, 17, 70, marks=pytest.mark.slow, id="SDXL"),
        pytest.param(SD15_UNET, 45, 22, 16, id="SD1.5"),
    ],
)
def test_released_unets(config: UNetConfig, norms: int, embeddings: int, gates: int) -> None:
    wanted = expected_unet(config)
    assert (wanted["group norm with silu"], wanted["embedding"], wanted["geglu"]) == (norms, embeddings, gates)
    module, _ = fused(trace(build_cell("unet", config), "unet", unet_types(config, 32), ["epsilon"]))
    assert count(module) == wanted


@pytest.mark.parametrize("decoder", [False, True])
def test_the_released_autoencoder(decoder: bool) -> None:
    wanted = expected_autoencoder(SDXL_VAE, decoder)
    assert wanted == {"group norm with silu": 29 if decoder else 21}
    kind: CellKind = "vae_decoder" if decoder else "vae_encoder"
    types = {"latent": f32(1, 4, 8, 8)} if decoder else {"image": f32(1, 3, 64, 64)}
    module, _ = fused(trace(build_cell(kind, SDXL_VAE), "vae", types, ["y"]))
    assert count(module) == wanted


def config_of(path: Path, kind: str) -> object:
    return open_checkpoint(path, kind).config  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["partner_unet", "lowres_unet"])
def test_trained_unets(name: str) -> None:
    config = config_of(WEIGHTS / name, "unet")
    assert isinstance(config, UNetConfig)
    cell, _ = opened_cell(WEIGHTS / name, "unet")
    module, _ = fused(trace(cell, "unet", unet_types(config, 8), ["epsilon"]))
    assert count(module) == expected_unet(config)


@pytest.mark.parametrize("expert", ["structure", "texture"])
def test_a_fused_unet_computes_what_the_pytorch_model_does(expert: str) -> None:
    arrays = golden(f"unet_{expert}")
    timestep = np.asarray([arrays["in:t"]], np.float32)
    feeds = {"latent": arrays["in:x"], "timestep": timestep}
    feeds |= {name: arrays[f"in:{name}"] for name in ("context", "vector")}
    config = config_of(WEIGHTS / f"{expert}_unet", "unet")
    assert isinstance(config, UNetConfig)
    cell, weights = opened_cell(WEIGHTS / f"{expert}_unet", "unet")
    types = {name: TensorType.of(array) for name, array in feeds.items()}
    module, _ = fused(trace(cell, "unet", types, ["epsilon"], weights))
    assert count(module) == expected_unet(config)
    found = interpreter.run(module, feeds)["epsilon"]
    assert relative_error(found, arrays["out:eps"]) <= TOLERANCE


@pytest.mark.parametrize("name", ["vae", "partner_vae"])
def test_a_fused_decoder_computes_what_the_pytorch_model_does(name: str) -> None:
    arrays = golden(name)
    config = config_of(WEIGHTS / name, "vae")
    assert isinstance(config, AutoencoderConfig)
    cell, weights = opened_cell(WEIGHTS / name, "vae_decoder")
    module, _ = fused(trace(cell, "vae", {"latent": TensorType.of(arrays["out:latent"])}, ["image"], weights))
    assert count(module) == expected_autoencoder(config, decoder=True)
    found = interpreter.run(module, {"latent": arrays["out:latent"]})["image"]
    assert relative_error(found, arrays["out:decoded"]) <= 1e-5  # as the eager decoder: tests/exporter/models


def test_a_trained_encoder() -> None:
    config = config_of(WEIGHTS / "vae", "vae")
    assert isinstance(config, AutoencoderConfig)
    cell, _ = opened_cell(WEIGHTS / "vae", "vae_encoder")
    module, _ = fused(trace(cell, "vae", {"image": f32(1, 3, 32, 32)}, ["latent"]))
    assert count(module) == expected_autoencoder(config, decoder=False)


def test_a_trained_controlnet_and_the_unet_it_steers() -> None:
    path = WEIGHTS / "partner_controlnet"
    config = config_of(path, "controlnet")
    assert isinstance(config, UNetConfig)
    types = unet_types(config, 8)
    residuals = {f"residual.{index}": f32(*shape) for index, shape in enumerate(config.residual_shapes(2, 8, 8))}
    cell, _ = opened_cell(path, "controlnet")
    arguments = types | {"hint": f32(2, config.model_channels, 8, 8)}
    module, _ = fused(trace(cell, "control", arguments, list(residuals)))
    assert count(module) == expected_unet(config, decoder=False)
    steered, _ = opened_cell(WEIGHTS / "partner_unet", "unet_controlled")
    module, _ = fused(trace(steered, "unet", unet_types(config, 8) | residuals, ["epsilon"]))
    assert count(module) == expected_unet(config)


def test_a_model_of_mint() -> None:
    batch = {"latent": f32(2, 4, 6, 6), "timestep": f32(1), "context": f32(2, 5, mint_cells.CONTEXT)}
    module, _ = fused(trace(mint_cells.Model(), "model", batch, ["epsilon"]))
    counts = {"group norm with silu": 4, "embedding": 2, "layer norm with sum": 2, "layer norm": 1, "geglu": 1}
    assert count(module) == counts


def traced(cell: nn.Cell, types: dict[str, TensorType]) -> tuple[Module, Module, dict[str, PassRecord]]:
    """A Cell with random weights, before and after; both compute the same."""
    random = np.random.default_rng(0)
    weights = {
        name: ArrayWeight(random.standard_normal(tuple(parameter.shape)).astype(np.float32))
        for name, parameter in cell.parameters_and_names()
    }
    before = trace(cell, "net", types, ["y"], weights)
    after, records = fused(before)
    feeds = {name: random.standard_normal(type.shape).astype(np.float32) for name, type in types.items()}
    wanted, found = (interpreter.run(module, feeds)["y"] for module in (before, after))
    assert relative_error(found, wanted) <= TOLERANCE
    return before, after, records


IMAGE = f32(2, norm_cells.CHANNELS, 4, 4)


def test_a_group_norm_that_is_written_out() -> None:
    _, module, records = traced(norm_cells.WrittenGroupNorm(), {"x": IMAGE})
    assert records["group-norm-core"].rewrites == 1
    assert [node.operator for node in module.entry.nodes] == ["weight", "weight", "fused_group_norm"]
    assert count(module) == {"group norm with silu": 1}


def test_scale_and_shift_of_an_embedding() -> None:
    types = {"x": IMAGE, "embedding": f32(2, 2 * norm_cells.CHANNELS)}
    _, module, _ = traced(norm_cells.ScaleShift(), types)
    assert count(module) == {"group norm with silu": 2}
    modulated = [node.attributes["modulated"] for node in module.entry.nodes if node.operator == "fused_group_norm"]
    assert modulated == [False, True]


def test_a_scale_that_is_known_at_every_call_is_folded_and_fused() -> None:
    """In a static loop 1 + scale is a number of the step, and the function gets it as an argument."""
    types = {"x": IMAGE, "embedding": f32(2, 2 * norm_cells.CHANNELS)}
    module, _, _ = traced(norm_cells.ScaleShift(), types)
    random = np.random.default_rng(1)
    builder = GraphBuilder("loop")
    x = builder.input("x", IMAGE)
    for _ in range(2):
        embedding = builder.constant(random.standard_normal(types["embedding"].shape).astype(np.float32))
        (x,) = builder.call(module.entry, x, embedding)
    loop = Module(builder.build([x], ["y"]), {"net": module.entry}, module.weights)
    after, _ = fused(loop)
    norms = [node for node in after.functions["net"].nodes if node.operator == "fused_group_norm"]
    assert [node.attributes["modulated"] for node in norms] == [False, True]
    feeds = {"x": random.standard_normal(IMAGE.shape).astype(np.float32)}
    found, wanted = (interpreter.run(each, feeds)["y"] for each in (after, loop))
    assert relative_error(found, wanted) <= TOLERANCE


def test_layers_of_mindspore_nn() -> None:
    before, module, records = traced(norm_cells.PlainLayers(), {"x": IMAGE})
    assert "erf" in {node.operator for node in before.entry.nodes}
    assert count(module) == {"group norm with silu": 1, "layer norm with sum": 1, "geglu": 1}
    assert records["gelu-core"].rewrites == 1
    assert records["bias-fusion"].rewrites == 1
    assert {len(node.inputs) for node in module.entry.nodes if node.operator == "conv2d"} == {3}
