"""Every attention of the networks fuses: as many as their configurations say, counted without looking at the graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from exporter.models.shapes import WEIGHTS, golden, opened_cell, relative_error
from exporter.presets import PANGU_DRAW_UNET, SD15_UNET, SDXL_UNET, SDXL_VAE
from mindspore.nn.utils import no_init_parameters

from coopdraw.exporter.checkpoints.load import open_checkpoint
from coopdraw.exporter.models.build import CellKind, build_cell
from coopdraw.exporter.models.configuration import AutoencoderConfig, ControlNetConfig, UNetConfig
from coopdraw.exporter.tracing import trace
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.passes.fusions.attention_layout import AttentionLayout
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.types import DType, TensorType
from exporter import mint_cells

BATCH, SIZE, WORDS = 2, 16, 7
SMALL_UNET = UNetConfig(4, 4, 32, (1, 2, 4), 1, (0, 1, 2), 2, (1, 2, 4), 64, 160, True, 8)

# float32 sums in another order than PyTorch's differ by 3e-7 of the range here, as without fusions.
GOLDEN_TOLERANCE = 2e-6


def heads_of_unet(config: UNetConfig) -> Counter[int]:
    """Attentions by number of heads: a self-attention and one on the text in each transformer block.

    A level has `num_res_blocks` transformers on the way down and one more on the way up; the middle has one.
    """
    heads = Counter({config.num_heads[-1]: 2 * config.middle_transformer_depth})
    for depth, number in zip(config.transformer_depth, config.num_heads, strict=True):
        heads[number] += 2 * depth * (2 * config.num_res_blocks + 1)
    return +heads


def heads_of_controlnet(config: ControlNetConfig) -> Counter[int]:
    """The way down and the middle."""
    heads = Counter({config.num_heads[-1]: 2 * config.middle_transformer_depth})
    for depth, number in zip(config.transformer_depth, config.num_heads, strict=True):
        heads[number] += 2 * depth * config.num_res_blocks
    return +heads


def float32(*shape: int) -> TensorType:
    return TensorType(DType.FLOAT32, shape)


def traced_unet(config: UNetConfig, kind: CellKind = "unet") -> Module:
    inputs = {"latent": float32(BATCH, config.in_channels, SIZE, SIZE), "timestep": float32(1)}
    inputs["context"] = float32(BATCH, WORDS, config.context_dim)
    if config.vector_dim is not None:
        inputs["vector"] = float32(BATCH, config.vector_dim)
    outputs = ["epsilon"]
    if kind == "controlnet":
        inputs["hint"] = float32(1, config.model_channels, SIZE, SIZE)
        outputs = [f"residual.{index}" for index in range(len(config.skips) + 1)]
    return trace(build_cell(kind, config), "net", inputs, outputs)


def fused(module: Module, layouts: set[str]) -> tuple[Module, Counter[int]]:
    """The module after basic passes and fusions, and its attentions by number of heads; nothing else is left."""
    passes = (*basic_passes(), AttentionFusion(), AttentionLayout(), *basic_passes())
    after, records = PassManager(passes).run(module)
    assert not [miss for record in records for miss in record.misses if record.name.startswith("attention")]
    nodes = [node for graph in after.graphs() for node in graph.nodes]
    assert "softmax" not in {node.operator for node in nodes}
    attentions = [node for node in nodes if node.operator == "attention"]
    assert {node.attributes["layout"] for node in attentions} == layouts
    return after, Counter(int(str(node.attributes["heads"])) for node in attentions)


@pytest.mark.parametrize("name", ["lowres_unet", "partner_unet"])
def test_unets_of_the_example(name: str) -> None:
    config = open_checkpoint(WEIGHTS / name, "unet").config
    assert isinstance(config, UNetConfig)
    heads = fused(traced_unet(config), {"BSH"})[1]
    assert heads == heads_of_unet(config)
    assert heads.total() == 2 * 4


@pytest.mark.parametrize("expert", ["structure", "texture"])
def test_experts_of_the_example_give_what_the_pytorch_models_give(expert: str) -> None:
    arrays = golden(f"unet_{expert}")
    feeds = {"latent": arrays["in:x"], "timestep": np.asarray([arrays["in:t"]], np.float32)}
    feeds |= {"context": arrays["in:context"], "vector": arrays["in:vector"]}
    cell, weights = opened_cell(WEIGHTS / f"{expert}_unet", "unet")
    types = {name: TensorType.of(array) for name, array in feeds.items()}
    module, heads = fused(trace(cell, "unet", types, ["epsilon"], weights), {"BSH"})
    assert heads.total() == 2 * 4
    assert relative_error(run(module, feeds)["epsilon"], arrays["out:eps"]) <= GOLDEN_TOLERANCE


def test_small_sdxl_like_unet() -> None:
    heads = fused(traced_unet(SMALL_UNET), {"BSH"})[1]
    assert heads == heads_of_unet(SMALL_UNET) == {2: 6, 4: 16}


def test_controlnet_of_sd15() -> None:
    config = ControlNetConfig(**asdict(SD15_UNET))
    heads = fused(traced_unet(config, "controlnet"), {"BSH"})[1]
    assert heads == heads_of_controlnet(config)
    assert heads.total() == 2 * 7


def test_sd15() -> None:
    heads = fused(traced_unet(SD15_UNET), {"BSH"})[1]
    assert heads == heads_of_unet(SD15_UNET)
    assert heads.total() == 2 * 16


@pytest.mark.slow
@pytest.mark.parametrize("config", [SDXL_UNET, PANGU_DRAW_UNET], ids=["sdxl", "pangu draw"])
def test_sdxl(config: UNetConfig) -> None:
    heads = fused(traced_unet(config), {"BSH"})[1]
    assert heads == heads_of_unet(config)
    assert heads.total() == 2 * 70


@pytest.mark.parametrize("kind", ["vae_encoder", "vae_decoder"])
@pytest.mark.parametrize("middle", [True, False])
def test_halves_of_the_vae(kind: CellKind, middle: bool) -> None:
    """One attention of a single head in the middle of each, over pixels: channels come first, so it stays BNSD."""
    config = AutoencoderConfig(**asdict(SDXL_VAE) | {"mid_attention": middle})
    channels, factor = (3, 8) if kind == "vae_encoder" else (4, 1)
    inputs = {"image": float32(1, channels, 4 * factor, 4 * factor)}
    module = trace(build_cell(kind, config), "half", inputs, ["result"])
    heads = fused(module, {"BNSD"} if middle else set())[1]
    assert heads == ({1: 1} if middle else {})


def test_a_model_of_mint() -> None:
    """Batch and heads merged, and one transformer block."""
    with no_init_parameters():
        cell = mint_cells.Model()
    inputs = {"latent": float32(2, 4, 6, 6), "timestep": float32(1), "context": float32(2, 5, mint_cells.CONTEXT)}
    heads = fused(trace(cell, "model", inputs, ["epsilon"]), {"BSH"})[1]
    assert heads == {mint_cells.HEADS: 2}
