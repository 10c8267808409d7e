"""The demo's recipes through MindSpore Lite, against goldens of an independent PyTorch implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exporter.shapes import EXAMPLE, compiled, golden

from coopdraw.exporter.parity import image_psnr, range_error
from coopdraw.runtime.bundle import Bundle
from coopdraw.runtime.session import Session

# float32 sums in another order: 2e-6 to 1e-5 of the range here. A wrong kernel or layout is off by more than 1e-2.
LATENT_ERROR, IMAGE_PSNR = 1e-4, 60.0
GOLDENS = {
    "recipe": "time_decoupled",
    "coop": "coop_latent",
    "edges": "coop_latent_controlnet",
    "resolution": "coop_resolution",
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(GOLDENS))
def test_lite_gives_the_golden(recipe: str, tmp_path: Path) -> None:
    bundle = compiled(EXAMPLE / f"{recipe}.toml", tmp_path / "demo.bundle", "--no-verify")
    inputs, wanted = golden(GOLDENS[recipe])
    with Session(Bundle.open(bundle), "lite", 2) as session:
        found = session.run(inputs)
    assert range_error(found["latent"], wanted["latent"]) <= LATENT_ERROR
    assert image_psnr(found["image"], wanted["image"]) >= IMAGE_PSNR
    np.testing.assert_equal(found["image"].shape, wanted["image"].shape)
