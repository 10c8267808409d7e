"""`coopdraw cost`: the loop's figures without a bundle."""

from __future__ import annotations

import json
from pathlib import Path

from exporter.shapes import coopdraw, write_recipe


def test_the_figures_of_the_example(tmp_path: Path) -> None:
    done = coopdraw("cost", write_recipe(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    assert cost["steps"] == 20
    assert cost["fusions"]["attention"] == 17  # two per transformer block of two UNets with four blocks, and the VAE's
    traced, compiled = cost["traced"], cost["compiled"]
    saved = {
        key: sum(record["notes"].get(key, 0) for record in cost["passes"]) for key in ("flops_saved", "bytes_saved")
    }
    assert traced["flops"] - compiled["flops"] == saved["flops_saved"] > 0
    assert traced["bytes_moved"] - compiled["bytes_moved"] == saved["bytes_saved"]
    assert compiled["bytes_moved"] < 0.7 * traced["bytes_moved"]
    memory = cost["compiled_memory"]
    assert memory["peak_bytes"] <= memory["arena_bytes"] < memory["unshared_bytes"]
    assert list(tmp_path.glob("*.bundle")) == []


def test_the_figures_as_a_table(tmp_path: Path) -> None:
    done = coopdraw("cost", write_recipe(tmp_path, lambda text: text.replace("steps = 20", "steps = 3")))
    assert done.returncode == 0, done.stderr
    assert "one run of the loop, 3 steps" in done.stdout
    for row in (
        "FLOPs a step",
        "bytes moved",
        "activations, planned",
        "fold-constant-arguments",
        "fused operators: attention 9",
    ):
        assert row in done.stdout


def test_a_recipe_that_is_wrong_is_refused(tmp_path: Path) -> None:
    done = coopdraw("cost", write_recipe(tmp_path, lambda text: text.replace("steps = 20", "steps = 0")))
    assert done.returncode == 2
    assert "pipeline.steps" in done.stderr
