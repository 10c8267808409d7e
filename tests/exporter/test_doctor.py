"""The doctor calls missing what the target needs, optional the rest, and says how to get both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from exporter.deploy_host import write_tool

from coopdraw.exporter.cli.app import app
from coopdraw.exporter.doctor import examine
from coopdraw.exporter.finding import Finding

GOOD = {"numpy": "1.26.4", "mindspore": "2.10.0", "mindspore_lite": "2.10.0"}
ASCEND = ("npu", "driver", "cann", "mindspore_lite", "converter_lite", "operators")
CONVERTER = "tools/converter/converter/converter_lite"


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


def test_every_gap_has_a_fix(tmp_path: Path) -> None:
    nothing = examine(tmp_path, version_of=lambda name: None, environment={}, devices=tmp_path, root=tmp_path)
    gaps = [item for item in nothing if item.status != "ok"]
    assert {"numpy", "mindspore", *ASCEND} <= {item.name for item in gaps}
    assert all(item.fix for item in gaps)


@pytest.fixture
def atlas(tmp_path: Path) -> dict[str, object]:
    """An Atlas host that has everything."""
    (tmp_path / "dev").mkdir()
    for name in ("davinci1", "davinci0", "davinci_manager"):
        (tmp_path / "dev" / name).touch()
    driver = tmp_path / "root/usr/local/Ascend/driver/version.info"
    driver.parent.mkdir(parents=True)
    driver.write_text("Version=24.1.rc1\nascendhal_version=7.35.19\n")
    info = tmp_path / "cann/x86_64-linux/ascend_toolkit_install.info"
    info.parent.mkdir(parents=True)
    info.write_text("package_name=Ascend-cann-toolkit\nversion=8.1.RC1\ncompatible_version=[V100R001C15]\n")
    (tmp_path / "cann/compiler").mkdir()
    (tmp_path / "cann/compiler/version.info").write_text("Version=7.7.0.1.238\n")
    write_tool(tmp_path / "mindspore-lite-2.10.0-linux-x64" / CONVERTER, "#!/bin/sh\n")
    (tmp_path / "opp/vendors/coopdraw/op_impl").mkdir(parents=True)
    environment = {
        "ASCEND_HOME_PATH": str(tmp_path / "cann"),
        "LITE_HOME": str(tmp_path / "mindspore-lite-2.10.0-linux-x64"),
        "ASCEND_CUSTOM_OPP_PATH": f"{tmp_path / 'opp/vendors/coopdraw'}:",
    }
    return {"environment": environment, "devices": tmp_path / "dev", "root": tmp_path / "root"}


@pytest.mark.parametrize("target", ["cpu", "ascend"])
def test_atlas_host_with_everything(tmp_path: Path, atlas: dict[str, object], target: str) -> None:
    found = {name: finding(name, tmp_path, target=target, **atlas) for name in ASCEND}
    assert {name: item.status for name, item in found.items()} == dict.fromkeys(ASCEND, "ok")
    assert found["npu"].detail == "davinci0, davinci1"
    assert found["driver"].detail == "24.1.rc1"
    assert found["cann"].detail == f"8.1.RC1 in {tmp_path / 'cann'}"
    assert found["mindspore_lite"].detail == "2.10.0"


def remove(*paths: str) -> Callable[[Path, dict[str, str]], None]:
    def change(folder: Path, environment: dict[str, str]) -> None:
        for path in paths:
            (folder / path).unlink()

    return change


def write(path: str, text: str) -> Callable[[Path, dict[str, str]], None]:
    return lambda folder, environment: (folder / path).write_text(text) and None


def setting(name: str, value: str | None) -> Callable[[Path, dict[str, str]], None]:
    """Sets a variable, or removes it."""

    def change(folder: Path, environment: dict[str, str]) -> None:
        environment.pop(name)
        if value is not None:
            environment[name] = value

    return change


def other_package(folder: Path, environment: dict[str, str]) -> None:
    older = folder / "mindspore-lite-2.9.0-linux-x64"
    Path(environment["LITE_HOME"]).rename(older)
    environment["LITE_HOME"] = str(older)


INFO, COMPILER = "cann/x86_64-linux/ascend_toolkit_install.info", "cann/compiler/version.info"
FAULTS = {
    "npu: no davinci device": remove("dev/davinci0", "dev/davinci1"),
    "driver: no /usr/local/Ascend/driver/version.info": remove("root/usr/local/Ascend/driver/version.info"),
    "cann: ASCEND_HOME_PATH and ASCEND_TOOLKIT_HOME are not set": setting("ASCEND_HOME_PATH", None),
    "cann: ASCEND_HOME_PATH=/gone, which is no folder": setting("ASCEND_HOME_PATH", "/gone"),
    "cann: 7.0.RC1 in": write(INFO, "version=7.0.RC1\n"),
    "cann: has no version, so it is no CANN": remove(INFO, COMPILER),
    "converter_lite: not in PATH, and LITE_HOME is not set": setting("LITE_HOME", None),
    "converter_lite: LITE_HOME=/gone has no": setting("LITE_HOME", "/gone"),
    "converter_lite: 2.9.0 beside mindspore_lite 2.10.0": other_package,
}


@pytest.mark.parametrize("key", FAULTS)
def test_what_an_atlas_host_lacks(tmp_path: Path, atlas: dict[str, dict[str, str]], key: str) -> None:
    name, _, detail = key.partition(": ")
    FAULTS[key](tmp_path, atlas["environment"])
    found = finding(name, tmp_path, target="ascend", **atlas)
    assert found.status == "missing"
    assert detail in found.detail
    assert found.fix
    for_cpu = finding(name, tmp_path, **atlas)
    assert for_cpu.status == "optional"
    assert for_cpu.fix == f"only for Atlas: {found.fix}"


@pytest.mark.parametrize(
    ("version", "status"), [("7.5.0.1", "ok"), ("7.10.0", "ok"), ("8.2.0", "ok"), ("7.3.0.1", "missing")]
)
def test_cann_that_only_has_its_compilers_version(
    tmp_path: Path, atlas: dict[str, object], version: str, status: str
) -> None:
    (tmp_path / INFO).unlink()
    (tmp_path / COMPILER).write_text(f"Version={version}\n")
    assert finding("cann", tmp_path, target="ascend", **atlas).status == status


@pytest.mark.parametrize("versions", [{}, {"mindspore_lite": "2.0.0"}, {"mindspore_lite": "2.9.0"}])
def test_other_mindspore_lite(tmp_path: Path, atlas: dict[str, object], versions: dict[str, str]) -> None:
    found = finding("mindspore_lite", tmp_path, versions, target="ascend", **atlas)
    assert found.status == "missing"
    assert "2.10 or later" in found.fix


def test_converter_in_path(tmp_path: Path, atlas: dict[str, dict[str, str]]) -> None:
    atlas["environment"] |= {"PATH": str(Path(atlas["environment"].pop("LITE_HOME"), CONVERTER).parent)}
    found = finding("converter_lite", tmp_path, target="ascend", **atlas)
    assert (found.status, Path(found.detail).name) == ("ok", "converter_lite")


@pytest.mark.parametrize("value", ["", ":", "/gone/vendors/x", "{good}:/gone/vendors/x"])
def test_operator_package_is_always_optional(tmp_path: Path, atlas: dict[str, dict[str, str]], value: str) -> None:
    good = atlas["environment"]["ASCEND_CUSTOM_OPP_PATH"].rstrip(":")
    atlas["environment"]["ASCEND_CUSTOM_OPP_PATH"] = value.format(good=good)
    found = finding("operators", tmp_path, target="ascend", **atlas)
    assert found.status == "optional"
    assert "build_kernels.sh" in found.fix


def test_command_line_for_ascend() -> None:
    """No machine that tests run on has an NPU, and the command says so by its exit code."""
    if list(Path("/dev").glob("davinci[0-9]*")):
        pytest.skip("this machine has an NPU")
    done = CliRunner().invoke(app, ["doctor", "--target", "ascend"])
    assert done.exit_code == 1
    assert "missing   npu " in done.output
