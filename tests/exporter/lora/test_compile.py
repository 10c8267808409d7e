"""A recipe with a LoRA: merged into the bundle's weights, listed in the manifest, verified against eager Cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from exporter.lora.files import diffusers_names, random_factors, write_lora
from exporter.shapes import compiled, coopdraw, write_recipe

from coopdraw.graphs.mindir.reader import read_mindir

NAMING = "kohya, diffusers blocks"


def recipe_with(folder: Path, scale: float | None) -> Path:
    """The example's recipe with few steps and a LoRA on the structure expert."""
    lora = "" if scale is None else f'loras = [{{ weights = "style.safetensors", scale = {scale} }}]\n'

    def change(text: str) -> str:
        return text.replace("steps = 20", "steps = 2").replace(
            'weights = "weights/structure_unet"\n', f'weights = "weights/structure_unet"\n{lora}'
        )

    return write_recipe(folder, change)


def test_a_lora_is_merged_listed_and_verified(tmp_path: Path) -> None:
    names = sorted(diffusers_names())[:5]
    factors = {name: random_factors(name, 2, seed, alpha=1.0) for seed, name in enumerate(names)}
    write_lora(tmp_path / "style.safetensors", NAMING, factors)
    plain = compiled(recipe_with(tmp_path, None), tmp_path / "plain.bundle", "--no-verify")
    zero = compiled(recipe_with(tmp_path, 0.0), tmp_path / "zero.bundle", "--no-verify")
    merged = compiled(recipe_with(tmp_path, 0.2), tmp_path / "merged.bundle")
    for file in ("sampling.mindir", "sampling_variables/data_0"):
        assert (zero / file).read_bytes() == (plain / file).read_bytes()
    (listed,) = json.loads((merged / "manifest.json").read_text())["models"]["structure"]["loras"]
    assert (listed["file"], listed["modules"], listed["scale"]) == ("style.safetensors", 5, 0.2)
    before, after = (read_mindir(bundle / "sampling.mindir").weights for bundle in (plain, merged))
    changed = {name for name in before if not np.array_equal(before[name].read(), after[name].read())}
    assert changed
    assert all(name.startswith("structure.") for name in changed)
    alone = coopdraw("verify", merged)
    assert alone.returncode == 0, alone.stderr
