"""Bundles for an Atlas host: what they have beside the CPU graph, and that it is the same program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporter.shapes import compiled, coopdraw, write_recipe

from coopdraw.exporter.parity import image_psnr
from coopdraw.graphs.interpreter import run as interpret
from coopdraw.graphs.mindir.reader import read_mindir
from coopdraw.graphs.types import DType
from coopdraw.runtime.bundle import Bundle

WORDS = "functionally simulated; not compiled with bisheng, not run on an NPU"
# Half precision of the networks alone: 62 dB and more over the whole demo loop, and three steps round less often.
HALF_PSNR = 45.0


def three_steps(text: str) -> str:
    """The demo with a precision of its own for the device, in a few steps."""
    return text.replace("steps = 20", "steps = 3").replace('precision = "float32"\n', "")


@pytest.fixture(scope="module", params=["ascend910b", "ascend310p"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = write_recipe(folder, three_steps)
    return compiled(recipe, folder / "atlas.bundle", "--no-verify", "--target", request.param)


def device(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())["device"]
    return found


def custom_types(path: Path) -> set[str]:
    """The device types of a model's Custom nodes."""
    nodes = [node for node in onnx.load(path, load_external_data=False).graph.node if node.op_type == "Custom"]
    return {attribute.s.decode() for node in nodes for attribute in node.attribute if attribute.name == "type"}


def test_the_program_is_the_same_in_half_precision(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    generator = np.random.default_rng(0)
    inputs = {spec.name: generator.standard_normal(spec.shape).astype(spec.dtype) for spec in opened.manifest.inputs}
    wide, narrow = (read_mindir(path) for path in (opened.graph_path, bundle / "ascend" / "sampling.mindir"))
    assert {value.type.dtype for value in narrow.functions["structure.unet"].values} >= {DType.FLOAT16}
    assert all(v.type.dtype is not DType.FLOAT16 for v in narrow.functions["vae.decode"].values), "the VAE is kept"
    images = [interpret(module, inputs)["image"] for module in (wide, narrow)]
    assert image_psnr(images[1], images[0]) >= HALF_PSNR


def test_custom_nodes_are_the_kernels_that_were_chosen(bundle: Path) -> None:
    found = device(bundle)
    own = {choice["type"] for choice in found["kernels"]["choices"] if choice["kind"] == "own"}
    assert own, "the demo has norms and sums that ours does with fewer passes over memory"
    assert custom_types(bundle / "ascend" / "sampling.onnx") == own
    project = {path.stem for path in (bundle / "kernels" / "ascend" / "op_kernel").glob("*.cpp")}
    assert len(project) == len(own)
    assert found["kernels"]["status"] == WORDS
    assert WORDS in (bundle / "deploy" / "README.md").read_text()
    for choice in found["kernels"]["choices"]:
        assert choice["reason"]
        assert sum(choice["functions"].values()) == choice["count"]


def test_the_lint_names_cells(bundle: Path) -> None:
    findings = device(bundle)["lint"]
    places = [place for finding in findings for place in finding["nodes"]]
    assert any("Cell decoder.mid.attn_1.attention" in place for place in places)
    assert all(finding["fix"] and finding["page"] and finding["reason"] for finding in findings)


def test_it_runs_on_the_cpu_and_says_what_an_npu_needs(bundle: Path, tmp_path: Path) -> None:
    picture = ("--prompt", "red ring", "-o", tmp_path / "ring.png")
    assert coopdraw("run", bundle, *picture, "--backend", "onnx").returncode == 0
    refused = coopdraw("run", bundle, *picture, "--backend", "ascend")
    assert refused.returncode == 2
    assert "there is no Ascend NPU" in refused.stderr
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ASCEND")}
    done = subprocess.run([bundle / "deploy" / "convert.sh"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ASCEND_HOME_PATH is not set")


def test_inspect_and_report_say_who_computes_what(bundle: Path, tmp_path: Path) -> None:
    shown = coopdraw("inspect", bundle).stdout
    assert "backends: mindspore, ascend, lite, onnx" in shown
    page = tmp_path / "report.html"
    assert coopdraw("report", bundle, "-o", page).returncode == 0
    for text in (" ".join(shown.split()), page.read_text()):
        assert WORDS in text
        assert "CoopdrawGroupNorm (ours)" in text


def test_wishes_decide(tmp_path: Path) -> None:
    wishes = (
        '[target]\nname = "ascend910b"\noperators = { attention = "own", fused_group_norm = "built-in" }\nforms = []'
    )
    recipe = write_recipe(tmp_path, lambda text: three_steps(text).replace('[target]\nname = "cpu"', wishes))
    bundle = compiled(recipe, tmp_path / "wishes.bundle", "--no-verify")
    kinds = {(choice["operator"], choice["kind"]) for choice in device(bundle)["kernels"]["choices"]}
    assert ("attention", "own") in kinds
    assert ("fused_group_norm", "own") not in kinds
    assert ("fused_group_norm", "built-in") in kinds
    graph = onnx.load(bundle / "ascend" / "sampling.onnx", load_external_data=False).graph
    norms = [node for node in graph.node if node.op_type == "GroupNormSilu"]
    assert norms
    assert {attribute.name for attribute in norms[0].attribute} == {"num_groups", "eps", "activate_silu"}
    assert {attribute.i for node in norms for attribute in node.attribute if attribute.name == "activate_silu"} == {
        0,
        1,
    }
    assert not any(node.op_type == "InstanceNormalization" for node in graph.node)
    assert custom_types(bundle / "ascend" / "sampling.onnx") == {"CoopdrawAttention", "CoopdrawLinearCombination"}
    assert not (bundle / "lite").exists()
