"""A UNet with merged weights against the same UNet that applies the LoRA beside every layer when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter.lora.files import FOLDER, Factors, diffusers_names, random_factors, structure_unet, write_lora
from exporter.models.shapes import golden, loaded_cell, relative_error, run

from coopdraw.exporter.lora.merge import merge_lora
from coopdraw.exporter.models.build import build_cell, load_eagerly

SCALE = 0.6
RANK = 3


def _with_lora(layer: Any, factors: Factors, scale: float) -> Any:
    """The layer with the LoRA's two (or three) layers beside it."""
    from mindspore import Tensor, nn, ops

    chain = [factors.down, *([] if factors.mid is None else [factors.mid]), factors.up]
    strength = scale * (factors.rank if factors.alpha is None else factors.alpha) / factors.rank

    class Adapted(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def construct(self, hidden: Tensor) -> Tensor:
            side = hidden
            for factor in chain:
                if factor.ndim == 2:
                    side = ops.matmul(side, Tensor(factor.T.copy()))
                else:
                    is_kernel = factor.shape[2:] != (1, 1)
                    stride = tuple(layer.conv2d.stride)[-2:] if is_kernel else 1
                    padding = factor.shape[2] // 2
                    side = ops.conv2d(side, Tensor(factor), pad_mode="pad", padding=padding, stride=stride)
            return self.layer(hidden) + strength * side

    return Adapted()


@pytest.fixture(autouse=True)
def _pynative() -> None:
    """The Cells made here are Python that the front end of MindSpore can't trace."""
    import mindspore

    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


def _replace(cell: Any, name: str, factors: Factors) -> None:
    """Puts an adapted layer in the place of the layer called `name`."""
    parent, _, last = name.rpartition(".")
    # Lists of Cells guess parameter prefixes when an item is set, which fails for layers without parameters.
    cells = dict(cell.cells_and_names())[parent]._cells
    cells[last] = _with_lora(cells[last], factors, SCALE)


def test_merged_weights_do_what_the_lora_does_at_run_time(tmp_path: Path) -> None:
    arrays = golden("unet_structure")
    inputs = (arrays["in:x"], np.asarray([arrays["in:t"]], np.float32), arrays["in:context"], arrays["in:vector"])
    factors = {
        name: random_factors(name, RANK, seed, alpha=1.5, tucker=seed % 2 == 0 and name.endswith("in_layers.2.weight"))
        for seed, name in enumerate(sorted(diffusers_names()))
    }
    assert any(part.mid is not None for part in factors.values())
    # A tenth of the random changes: the network stays in the range of its activations.
    factors = {
        name: Factors(part.down, part.up * np.float32(0.1), part.mid, part.alpha) for name, part in factors.items()
    }
    path = write_lora(tmp_path / "x.safetensors", "kohya, diffusers blocks", factors)
    checkpoint = structure_unet()
    merged = merge_lora(checkpoint.weights, path, SCALE, checkpoint.config, "models.structure")
    found = run(load_eagerly(build_cell("unet", checkpoint.config), merged), *inputs)

    adapted = loaded_cell(FOLDER, "unet")
    for name, part in factors.items():
        _replace(adapted, name.removesuffix(".weight"), part)
    wanted = run(adapted, *inputs)

    # The LoRA moves the output by more than a thousand times what may differ below.
    assert relative_error(wanted, arrays["out:eps"]) > 0.01
    # The same sums in another order, through a whole UNet: 2e-7 of the range here.
    assert relative_error(found, wanted) <= 2e-6
