"""Whole pipelines with partners and adapters as they are released: other layouts, other architectures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exporter.checkpoints.synthetic import PREFIXES, released_values, save_mindspore_ckpt, save_sgm_safetensors
from exporter.models.shapes import WEIGHTS
from exporter.random_models import (
    COLOUR,
    SMALL_SD15,
    SMALL_SD15_ADAPTER,
    t2i_adapter_values,
    unet_values,
    write_t2i_adapter,
)
from exporter.shapes import compiled, coopdraw, write_recipe

from coopdraw.exporter.loading import load_pipeline
from coopdraw.exporter.recipe_reader import load_recipe
from coopdraw.exporter.sources import CheckpointSource
from coopdraw.exporter.text_encoding import build_text_encoder, vector_output

SAME = ("sampling.mindir", "sampling_variables/data_0", "text_encoder.mindir")
PARTNER = """
[models.partner]
kind = "unet"
weights = "{weights}"
vae = "partner_vae"
adapters = {adapters}
[models.partner_vae]
kind = "vae"
weights = "weights/partner_vae"
[[coop]]
bridge = "latent"
with = "partner"
strength = 0.5
"""
EDGES = """
[adapters.edges]
kind = "controlnet"
weights = "{edges}"
scale = 0.5
{edges_config}
[adapters.depth]
kind = "t2i_adapter"
weights = "{depth}"
scale = 0.5
{depth_config}
"""


def manifest(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    return content


@pytest.mark.slow
def test_adapters_in_their_released_layouts_make_the_same_bundle(tmp_path: Path) -> None:
    """A ControlNet as a MindSpore checkpoint in the SGM layout, and a T2I-Adapter as TencentARC has it."""
    write_t2i_adapter(tmp_path / "depth", COLOUR)
    edges = released_values(WEIGHTS / "partner_controlnet", "controlnet")
    save_mindspore_ckpt(tmp_path / "edges.ckpt", edges, PREFIXES["controlnet"])
    save_sgm_safetensors(tmp_path / "depth.safetensors", t2i_adapter_values(COLOUR, seed=0), "")
    partner = PARTNER.format(weights="weights/partner_unet", adapters='["edges", "depth"]')
    folders = {"edges": "weights/partner_controlnet", "edges_config": "", "depth": "depth", "depth_config": ""}
    files = {
        "edges": "edges.ckpt",
        "edges_config": "config = { num_heads = [2, 2], norm_groups = 8, addition_time_embed_dim = 16 }",
        "depth": "depth.safetensors",
        "depth_config": 'config = { downscale_factor = 8, adapter_type = "full_adapter_xl", in_channels = 3 }',
    }
    bundles = []
    for name, sources in {"folders": folders, "files": files}.items():
        recipe = write_recipe(
            tmp_path, lambda text, s=sources: text.replace("steps = 20", "steps = 2") + partner + EDGES.format(**s)
        )
        bundles.append(compiled(recipe, tmp_path / f"{name}.bundle", "--no-verify"))
    for file in SAME:
        assert (bundles[0] / file).read_bytes() == (bundles[1] / file).read_bytes()
    first, second = (manifest(bundle) for bundle in bundles)
    assert first["models"] == second["models"]
    assert first["steps"] == second["steps"]


@pytest.mark.slow
def test_a_partner_of_the_sd15_family_with_its_t2i_adapter(tmp_path: Path) -> None:
    """It has other conditions than the experts: no vector. Its file says neither its heads nor its norms."""
    prefix = PREFIXES["unet"]
    save_sgm_safetensors(tmp_path / "sd15.safetensors", unet_values(SMALL_SD15, seed=4), prefix)
    write_t2i_adapter(tmp_path / "depth", SMALL_SD15_ADAPTER)
    partner = PARTNER.format(weights="sd15.safetensors", adapters='["depth"]')
    adapter = '[adapters.depth]\nkind = "t2i_adapter"\nweights = "depth"\nscale = 0.7\nsteps = [0, 2]\n'
    recipe = write_recipe(tmp_path, lambda text: text.replace("steps = 20", "steps = 3") + partner + adapter)
    bundle = compiled(recipe, tmp_path / "x.bundle")
    described = manifest(bundle)
    config = described["models"]["partner"]["config"]
    assert (config["num_heads"], config["vector_dim"], config["use_linear_projection"]) == ([8, 8, 8, 8], None, False)
    assert config["transformer_depth"] == [1, 1, 1, 0]
    inputs = {spec["name"]: spec["shape"] for spec in described["inputs"]}
    assert inputs["depth.image"] == [1, 3, 64, 64]
    assert {name for name in inputs if name.startswith("partner.")} == {
        "partner.context.uncond",
        "partner.context.text",
    }
    picture = f"depth={WEIGHTS.parent / 'outline.png'}"
    drawn = coopdraw("run", bundle, "--prompt", "red ring", "--image", picture, "-o", tmp_path / "x.png")
    assert drawn.returncode == 0, drawn.stderr


@pytest.mark.parametrize(("vector_dim", "vectors"), [(None, ["vector"]), (64, ["vector", "vector.64"])])
def test_the_text_encoder_makes_what_each_model_takes(
    vector_dim: int | None, vectors: list[str], tmp_path: Path
) -> None:
    """`vector` has pooled text and sizes for the experts, the partner has none or one of pooled text only."""
    values = unet_values(replace(SMALL_SD15, vector_dim=vector_dim), seed=4)
    save_sgm_safetensors(tmp_path / "sd15.safetensors", values, PREFIXES["unet"])
    recipe = load_recipe(
        write_recipe(tmp_path, lambda text: text + PARTNER.format(weights="sd15.safetensors", adapters="[]"))
    )
    pipeline = load_pipeline(recipe, CheckpointSource(recipe))
    module = build_text_encoder(pipeline.text_encoders)
    assert module is not None
    assert list(module.entry.output_names) == ["context", *vectors]
    types = dict(zip(module.entry.output_names, module.entry.outputs, strict=True))
    for model, cell in pipeline.text_encoders.items():
        inputs = pipeline.unets[model][2].inputs
        assert types["context"].type.shape[1:] == inputs["context"].shape[1:]
        if "vector" in inputs:
            assert types[vector_output(cell)].type.shape[1:] == inputs["vector"].shape[1:]
    assert pipeline.text_encoders.keys() == pipeline.unets.keys()
