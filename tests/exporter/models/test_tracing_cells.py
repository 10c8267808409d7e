"""The Cells under MindSpore's graph mode, without data in their parameters."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter.models.shapes import DATA
from exporter.presets import SDXL_VAE

from coopdraw.exporter.models.build import CellKind, build_cell, parameter_types
from coopdraw.exporter.models.configuration import AutoencoderConfig, ModelConfig, UNetConfig, WordsConfig
from coopdraw.exporter.models.errors import ConfigurationError

SHAPES_UNET = UNetConfig(4, 4, 32, (1, 2), 1, (0, 1), 1, (2, 2), 64, 160, True, 8)
SD_UNET = UNetConfig(4, 4, 32, (1, 2), 1, (1, 0), 1, (2, 2), 64, None, False, 8)
SHAPES_VAE = AutoencoderConfig(3, 3, 4, 16, (1, 2, 4), 1, 0.9, 16)
WORDS = WordsConfig(("<pad>", "red", "ring"), 8, 64, (64, 64, 0, 0, 64, 64), 16)

CASES: dict[str, tuple[CellKind, ModelConfig, list[np.ndarray]]] = {
    "unet": (
        "unet",
        SHAPES_UNET,
        [
            np.zeros((2, 4, 16, 16), np.float32),
            np.zeros(1, np.float32),
            np.zeros((2, 8, 64), np.float32),
            np.zeros((2, 160), np.float32),
        ],
    ),
    "unet without vector": (
        "unet",
        SD_UNET,
        [np.zeros((2, 4, 16, 16), np.float32), np.zeros(1, np.float32), np.zeros((2, 8, 64), np.float32)],
    ),
    "encoder": ("vae_encoder", SHAPES_VAE, [np.zeros((1, 3, 64, 64), np.float32)]),
    "decoder": ("vae_decoder", SHAPES_VAE, [np.zeros((1, 4, 16, 16), np.float32)]),
    "words": ("words", WORDS, [np.zeros((2, 8), np.int32)]),
}


def trace(cell: Any, arrays: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> Any:
    """MindSpore's graph of a Cell whose parameters have no data."""
    from mindspore import Tensor
    from mindspore.common.api import _cell_graph_executor
    from mindspore.common.parameter import Parameter
    from mindspore.train import mind_ir_pb2

    monkeypatch.setattr(Parameter, "init_data", lambda self, *arguments, **options: self)
    graph, _ = _cell_graph_executor.compile(cell, *map(Tensor, arrays), phase="export.mindir", do_convert=False)
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(_cell_graph_executor._get_func_graph_proto(cell, graph, "mind_ir", incremental=False))
    return model.graph


def unqualified(name: str) -> str:
    """A value's name without that of the function it's in."""
    return name.rpartition(":")[2]


@pytest.mark.parametrize("case", CASES)
def test_every_cell_traces_with_its_parameters(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, config, arrays = CASES[case]
    cell = build_cell(kind, config)
    graph = trace(cell, arrays, monkeypatch)
    found = {unqualified(parameter.name): tuple(parameter.dims) for parameter in graph.parameter}
    assert found == {name: type.shape for name, type in parameter_types(cell).items()}
    assert len(graph.input) == len(arrays)


@pytest.mark.parametrize("case", ["unet", "unet without vector", "encoder", "decoder"])
def test_a_layer_carries_the_path_of_the_cell_whose_weight_it_reads(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, config, arrays = CASES[case]
    graph = trace(build_cell(kind, config), arrays, monkeypatch)
    parameters = {parameter.name for parameter in graph.parameter}
    loads = {node.output[0]: node.input[0] for node in graph.node if "Load" in node.op_type}
    checked = 0
    for node in graph.node:
        operator = node.op_type.partition("::")[2].partition(":")[0]
        if operator not in ("Conv2D", "BiasAdd", "Dense", "GroupNorm", "LayerNorm"):
            continue
        # Default/input_blocks-CellList/1-Stage/0-ResBlock/in_layers-CellList/0-GroupNorm/GroupNorm-op0
        path = ".".join(re.findall(r"(\w+)-\w+/", node.domain))
        read = {unqualified(loads[name]) for name in node.input if loads.get(name) in parameters}
        assert read
        assert {name.rpartition(".")[0] for name in read} == {path}
        checked += 1
    assert checked > 20


@pytest.mark.parametrize(
    ("case", "cell", "epsilon"),
    [("unet", "ResBlock", 1e-5), ("unet", "SpatialTransformer", 1e-6), ("encoder", "", 1e-6), ("decoder", "", 1e-6)],
)
def test_group_norms_have_the_epsilon_of_the_release(
    case: str, cell: str, epsilon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, config, arrays = CASES[case]
    graph = trace(build_cell(kind, config), arrays, monkeypatch)
    constants = {node.output[0]: node.attribute[0].f for node in graph.node if node.op_type == "Constant"}
    norms = [node for node in graph.node if "GroupNorm" in node.op_type and f"-{cell}" in node.domain]
    found = {
        constants[node.input[4]] for node in norms if re.findall(r"-(\w+)/", node.domain)[-2] != "CellList" or cell
    }
    assert norms
    assert found == {np.float32(epsilon)}


def test_a_configuration_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="AutoencoderConfig"):
        build_cell("unet", SDXL_VAE)


@pytest.mark.slow
def test_pangu_draw_traces_without_memory_for_its_weights(tmp_path: Path) -> None:
    code = """
import re, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, pytest
from pathlib import Path
from coopdraw.exporter.models.build import build_cell
from exporter.presets import PANGU_DRAW_UNET
from exporter.models.test_tracing_cells import trace
shapes = ((2, 4, 128, 128), (1,), (2, 77, 2048), (2, 1536))
with pytest.MonkeyPatch.context() as patch:
    graph = trace(build_cell("unet", PANGU_DRAW_UNET), [np.zeros(shape, np.float32) for shape in shapes], patch)
assert len(graph.parameter) == 1680
print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    arguments = [sys.executable, "-c", code, str(DATA.parent)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path)
    peak = 1024 * int(result.stdout.split("peak")[1])
    # Without weights it takes 0.9 GB, most of it MindSpore itself; the weights are 10.3 GB.
    assert peak < 1.5e9
