"""The deploy kit's scripts, run against stand-ins of the tools: what they call and what they leave."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from exporter.deploy_host import Host, deploy_facts, make_host, write_tool
from runtime.tiny_bundle import hash_files

from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.project import write_project
from coopdraw.kernels.group_norm import ascend as group_norm
from coopdraw.kernels.linear_combination import ascend as linear_combination
from coopdraw.runtime.ascend_conversion import converted_models
from coopdraw.runtime.bundle import Bundle

GOLDEN = Path(__file__).parent / "golden"
SCRIPTS = ("check.sh", "build_kernels.sh", "convert.sh", "run.sh", "bench.sh")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path, deploy_facts())


def succeed(host: Host, *command: str, shell: str = "sh") -> str:
    done = host.run(*command, shell=shell)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize(("soc", "chip", "shell"), [("ascend910b", "910B3", "sh"), ("ascend310p", "310P3", "bash")])
def test_calls(soc: str, chip: str, shell: str, tmp_path: Path) -> None:
    """All scripts in the order of the README call the tools as recorded; the golden file says why."""
    host = make_host(tmp_path, deploy_facts(soc))
    assert host.run("check.sh", shell=shell, environment={"FAKE_CHIP": chip}).returncode == 0
    for command in (
        ("build_kernels.sh",),
        ("convert.sh",),
        ("convert.sh", "--route", "onnx"),
        ("run.sh", "--device", "3", "--prompt", "red ring", "-o", "a b.png"),
        ("bench.sh", "--loops", "5", "--warm-up", "1"),
    ):
        succeed(host, *command, shell=shell)
    golden = (GOLDEN / f"deploy_calls_{soc}.txt").read_text()
    assert host.calls() == "".join(line for line in golden.splitlines(keepends=True) if not line.startswith("#"))


def test_bundle_stays_as_it_was(host: Host) -> None:
    before = hash_files(host.bundle)
    for command in (("check.sh",), ("build_kernels.sh",), ("convert.sh", "--route", "onnx"), ("bench.sh",)):
        succeed(host, *command)
    assert hash_files(host.bundle) == before
    Bundle.open(host.bundle)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(host: Host, script: str) -> None:
    """Needs nothing but a shell, and changes nothing."""
    shutil.rmtree(host.tools)
    done = host.run(script, "--help", environment={"ASCEND_HOME_PATH": None, "LITE_HOME": None})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script}")
    assert "Exit code: " in done.stdout
    assert not host.work.exists()


@pytest.mark.parametrize("route", ["mindir", "onnx"])
def test_stamps_are_what_the_backend_reads(host: Host, route: str) -> None:
    succeed(host, "build_kernels.sh")
    succeed(host, "convert.sh", "--route", route)
    models = converted_models(host.bundle)
    assert {name: (model.path, model.route, model.soc) for name, model in models.items()} == {
        name: (host.work / f"{name}.mindir", route, "ascend910b") for name in ("sampling", "text_encoder")
    }


def test_large_model_comes_in_parts(host: Host) -> None:
    succeed(host, "convert.sh")
    assert host.run("convert.sh", environment={"FAKE_CONVERTER": "large"}).returncode == 0
    assert converted_models(host.bundle)["sampling"].path == host.work / "sampling_graph.mindir"
    assert (host.work / "sampling_variables" / "data_0").is_file()
    assert not (host.work / "sampling.mindir").exists()
    # And back: no part of the old model stays.
    succeed(host, "convert.sh")
    assert not (host.work / "sampling_variables").exists()
    assert not (host.work / "sampling_graph.mindir").exists()


def test_failed_conversion_leaves_no_stamp(host: Host) -> None:
    succeed(host, "convert.sh")
    assert host.run("convert.sh", environment={"FAKE_CONVERTER": "fails"}).returncode == 1
    assert not (host.work / "sampling.stamp").exists()
    assert "run deploy/convert.sh first" in host.run("run.sh", "--prompt", "red ring").stderr


def test_edited_runtime_configuration_is_kept(host: Host) -> None:
    succeed(host, "convert.sh")
    (host.work / "runtime.cfg").write_text("[ascend_context]\nprofiling_config_file=p.json\n")
    succeed(host, "convert.sh")
    assert "profiling_config_file" in (host.work / "runtime.cfg").read_text()


def test_configuration_of_ones_own(host: Host) -> None:
    """A relative path holds although the converter runs in another folder."""
    own = host.folder / "elsewhere" / "own.cfg"
    own.parent.mkdir()
    own.write_text("[ascend_context]\nprecision_mode=enforce_fp32\n")
    succeed(host, "convert.sh", "--config", "own.cfg")
    assert "--configFile=<folder>/elsewhere/own.cfg\n" in host.calls()
    assert (host.work / "converter.cfg").read_text() == own.read_text()


def test_another_work_folder(host: Host) -> None:
    """Relative to where the script is started, for all scripts alike."""
    for command in (("build_kernels.sh",), ("convert.sh", "--route", "onnx"), ("bench.sh",), ("check.sh",)):
        assert host.run(command[0], "--work", "made here", *command[1:]).returncode == 0
    succeed(host, "run.sh", "--work", "made here", "--prompt", "red ring")
    assert "COOPDRAW_ASCEND_FOLDER=<folder>/elsewhere/made here\n" in host.calls()
    assert not host.work.exists()


def test_tools_from_path(host: Host) -> None:
    """Without LITE_HOME the package is found from converter_lite in PATH, and its libraries with it."""
    path = f"{host.lite / 'tools/converter/converter'}:{host.lite / 'tools/benchmark'}:{host.folder / 'basic'}"
    done = host.run("convert.sh", environment={"LITE_HOME": None, "PATH": path})
    assert done.returncode == 0
    assert "note:" not in done.stdout
    assert "with LD_LIBRARY_PATH=<lite>/runtime/lib:" in host.calls()


def test_unknown_version_is_noted(host: Host) -> None:
    write_tool(host.tools / "converter_lite", (host.lite / "tools/converter/converter/converter_lite").read_text())
    done = host.run("convert.sh", environment={"LITE_HOME": None})
    assert done.returncode == 0
    assert "note: the version of" in done.stdout


def test_any_version(host: Host) -> None:
    old = host.folder / "mindspore-lite-2.9.1-linux-aarch64"
    host.lite.rename(old)
    assert host.run("convert.sh", environment={"LITE_HOME": str(old)}).returncode == 2
    assert host.run("convert.sh", "--any-version", environment={"LITE_HOME": str(old)}).returncode == 0


@pytest.mark.parametrize("layout", list(Layout))
def test_builds_the_real_project(host: Host, layout: Layout) -> None:
    """The generated project with its own build.sh: only cmake, which makes the installer, is a stand-in."""
    project = host.bundle / "kernels" / "ascend"
    installer = (project / "installer.sh").read_text()
    shutil.rmtree(project)
    write_project(project, [group_norm.ASCEND, linear_combination.ASCEND], layout, ["ascend910b"])
    package = host.cann / "compiler" / "tikcpp" / "ascendc_kernel_cmake"
    package.mkdir(parents=True)
    write_tool(host.folder / "installer.run", installer)
    write_tool(
        host.tools / "cmake",
        f"""#!/bin/sh
case $1 in
    -S) mkdir build_out; grep -q '"value": "ascend910b"' CMakePresets.json ;;
    --build) cp "{host.folder}/installer.run" build_out/custom_opp_linux_x86_64.run ;;
esac
""",
    )
    succeed(host, "build_kernels.sh")
    assert "    --install-path=<work>/opp\n" in host.calls()


def test_operators_installed_elsewhere(host: Host) -> None:
    done = host.run("convert.sh", "--route", "onnx", environment={"ASCEND_CUSTOM_OPP_PATH": "/opt/vendors/x"})
    assert done.returncode == 0
    assert "with ASCEND_CUSTOM_OPP_PATH=/opt/vendors/x\n" in host.calls()


@pytest.mark.parametrize(
    ("version", "least", "enough"),
    [
        ("8.0.RC3", "8", True),
        ("8.3.RC1", "8.3", True),
        ("9.0.0-beta.2", "8.5", True),
        ("10.1", "8", True),
        ("7.0.RC1", "8", False),
        ("7.7.0.1.238", "7.5", True),
        ("7.3.0.1.231", "7.5", False),
        ("2.10.0", "2.10", True),
        ("2.9.1", "2.10", False),
        ("2.10.0rc1", "2.10", True),
        ("3", "2.10", True),
        ("latest", "2.10", False),
        ("", "8", False),
    ],
)
def test_versions(host: Host, version: str, least: str, enough: bool) -> None:
    write_tool(
        host.bundle / "deploy" / "compare.sh", 'deploy=$(dirname "$0"); . "$deploy/common.sh"; at_least "$1" "$2"'
    )
    assert (host.run("compare.sh", version, least).returncode == 0) == enough
