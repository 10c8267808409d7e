"""The doctor calls missing what the cpu target needs, optional the rest, and says how to get both."""

from __future__ import annotations

from pathlib import Path

import pytest

from coopdraw.exporter.doctor import Finding, examine

GOOD = {"numpy": "1.26.4", "mindspore": "2.10.0"}


def finding(name: str, folder: Path, versions: dict[str, str] | None = None, **machine: object) -> Finding:
    found = examine(folder, version_of=(GOOD if versions is None else versions).get, **machine)  # type: ignore[arg-type]
    return next(item for item in found if item.name == name)


@pytest.mark.parametrize("version", ["1.24.0", "1.26.4"])
def test_supported_numpy(tmp_path: Path, version: str) -> None:
    assert finding("numpy", tmp_path, {"numpy": version}).status == "ok"


@pytest.mark.parametrize("versions", [{}, {"numpy": "2.0.1"}, {"numpy": "1.9.3"}, {"numpy": "unknown"}])
def test_other_numpy(tmp_path: Path, versions: dict[str, str]) -> None:
    found = finding("numpy", tmp_path, versions)
    assert found.status == "missing"
    assert "numpy>=1.24,<2" in found.fix


@pytest.mark.parametrize("versions", [{}, {"mindspore": "2.9.0"}])
def test_other_mindspore(tmp_path: Path, versions: dict[str, str]) -> None:
    found = finding("mindspore", tmp_path, versions)
    assert found.status == "missing"
    assert "2.10.0" in found.fix


def test_devices(tmp_path: Path) -> None:
    assert finding("npu", tmp_path, devices=tmp_path).status == "optional"
    for name in ("davinci1", "davinci0", "davinci_manager"):
        (tmp_path / name).touch()
    assert finding("npu", tmp_path, devices=tmp_path).detail == "davinci0, davinci1"


def test_cann(tmp_path: Path) -> None:
    assert finding("cann", tmp_path, environment={}).status == "optional"
    assert finding("cann", tmp_path, environment={"ASCEND_TOOLKIT_HOME": str(tmp_path)}).status == "ok"
    gone = finding("cann", tmp_path, environment={"ASCEND_HOME_PATH": str(tmp_path / "gone")})
    assert gone.status == "optional"
    assert "no folder" in gone.detail


def test_every_gap_has_a_fix(tmp_path: Path) -> None:
    nothing = examine(tmp_path, version_of=lambda name: None, environment={}, devices=tmp_path / "none")
    gaps = [item for item in nothing if item.status != "ok"]
    assert {"numpy", "mindspore", "npu", "cann", "mindspore_lite"} <= {item.name for item in gaps}
    assert all(item.fix for item in gaps)
