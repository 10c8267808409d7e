from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from exporter.lora.files import random_factors, structure_unet, write_lora

from coopdraw.exporter.lora.errors import LoraError
from coopdraw.exporter.lora.opening import open_lora

QUERY = "input_blocks.3.1.transformer_blocks.0.attn1.to_q.weight"
KEY = "input_blocks.3.1.transformer_blocks.0.attn1.to_k.weight"
DIFFUSERS_QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


def alphas(folder: Path, metadata: str, alpha: float | None = None) -> dict[str, float]:
    """Alphas of two modules of rank 4 in a file with this metadata; `alpha` is stored as a tensor too."""
    factors = {name: random_factors(name, 4, 0, alpha) for name in (QUERY, KEY)}
    path = write_lora(folder / "x.safetensors", "PEFT", factors, lora_adapter_metadata=metadata)
    checkpoint = structure_unet()
    updates = open_lora(path, checkpoint.weights, checkpoint.config, "models.structure")
    return {name: update.alpha for name, update in updates.items()}


def settings(**values: object) -> str:
    """What diffusers writes: LoraConfig of the UNet, its keys prefixed."""
    return json.dumps({f"unet.{key}": value for key, value in values.items()})


def test_alpha_comes_from_the_settings_of_diffusers(tmp_path: Path) -> None:
    assert alphas(tmp_path, settings(r=4, lora_alpha=8, alpha_pattern={})) == {QUERY: 8.0, KEY: 8.0}


def test_stored_alphas_come_first(tmp_path: Path) -> None:
    assert alphas(tmp_path, settings(lora_alpha=8), alpha=2.0) == {QUERY: 2.0, KEY: 2.0}


@pytest.mark.parametrize("pattern", ["to_q", "attn1.to_q", DIFFUSERS_QUERY, f"^{DIFFUSERS_QUERY}"])
def test_patterns_give_single_modules_another_alpha(pattern: str, tmp_path: Path) -> None:
    found = alphas(tmp_path, settings(lora_alpha=8, alpha_pattern={"conv1": 3, pattern: 1}))
    assert found == {QUERY: 1.0, KEY: 8.0}


@pytest.mark.parametrize("pattern", ["^to_q", "o_q", "to_q.0"])
def test_patterns_fit_whole_names_only(pattern: str, tmp_path: Path) -> None:
    assert alphas(tmp_path, settings(lora_alpha=8, alpha_pattern={pattern: 1}))[QUERY] == 8.0


def test_rank_stabilised_loras_divide_by_the_root_of_the_rank(tmp_path: Path) -> None:
    found = alphas(tmp_path, settings(lora_alpha=8, use_rslora=True))[QUERY]
    assert found / 4 == pytest.approx(8 / math.sqrt(4), rel=1e-15)  # one rounding


@pytest.mark.parametrize("metadata", ["{}", json.dumps({"text_encoder.lora_alpha": 8})])
def test_settings_of_other_models_do_not_count(metadata: str, tmp_path: Path) -> None:
    assert alphas(tmp_path, metadata) == {QUERY: 4.0, KEY: 4.0}


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[]",
        "1",
        "[" * 100_000,
        settings(r=4),
        settings(lora_alpha=None),
        settings(lora_alpha="many"),
        settings(lora_alpha=8, alpha_pattern=[1]),
        settings(lora_alpha=8, alpha_pattern={"to_q": []}),
    ],
)
def test_malformed_settings_are_refused(metadata: str, tmp_path: Path) -> None:
    with pytest.raises(LoraError, match=r"cannot read lora_adapter_metadata of .*x\.safetensors"):
        alphas(tmp_path, metadata)


def test_patterns_beyond_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoraError, match=r"has the alpha_pattern '\.\*to_\(q\|k\)'; save it with the names"):
        alphas(tmp_path, settings(lora_alpha=8, alpha_pattern={".*to_(q|k)": 1}))


def test_a_dora_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="is a DoRA"):
        alphas(tmp_path, settings(lora_alpha=8, use_dora=True))


@pytest.mark.parametrize("alpha", [0, math.nan, math.inf])
def test_an_alpha_must_be_a_finite_number(alpha: float, tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="2 with an alpha that is no finite number or is 0"):
        alphas(tmp_path, settings(lora_alpha=alpha))
