"""The deploy kit's scripts print what its README says they print, when they work and in every way that they fail."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from exporter.deploy_host import Host, deploy_facts, make_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path, deploy_facts())


def test_success(host: Host) -> None:
    table = dict(rows(host, "## What they print when it works"))
    for script in ("build_kernels.sh", "convert.sh", "bench.sh"):
        done = host.run(script)
        assert (done.returncode, done.stderr) == (0, "")
        last = done.stdout.splitlines()[-1]
        assert matches(table[script].strip("`"), last), last
    assert all(line.startswith("ok ") for line in host.run("check.sh").stdout.splitlines())


@dataclass(frozen=True)
class Failure:
    """A way to fail: what is done to a good host first, and the command that then fails."""

    command: tuple[str, ...]
    code: int
    prepare: Callable[[Host], object] = lambda host: None
    environment: dict[str, str | None] = field(default_factory=dict)


def converted(host: Host) -> None:
    assert host.run("convert.sh").returncode == 0


def recompiled(script: str) -> Callable[[Host], None]:
    """The bundle is compiled anew, as far as stamps can tell, after a script has run."""

    def prepare(host: Host) -> None:
        assert host.run(script).returncode == 0
        with (host.bundle / "manifest.json").open("a") as file:
            file.write("\n")

    return prepare


def old_lite(host: Host) -> None:
    host.lite.rename(host.folder / "mindspore-lite-2.9.1-linux-aarch64")


def old_compiler(host: Host) -> None:
    shutil.rmtree(host.cann / "x86_64-linux")
    (host.cann / "compiler").mkdir()
    (host.cann / "compiler" / "version.info").write_text("Version=7.3.0.1.231\n")


def cut_short(host: Host) -> None:
    (host.bundle / "ascend" / "sampling.mindir").write_text("samp")


def listed_nowhere(host: Host) -> None:
    """The manifest doesn't list the file either: a bundle of another kind."""
    manifest = host.bundle / "manifest.json"
    manifest.write_text(re.sub(r'  "ascend/sampling\.onnx": .*\n', "", manifest.read_text()))
    (host.bundle / "ascend" / "sampling.onnx").unlink()


def in_the_way(host: Host) -> None:
    host.work.mkdir()
    (host.work / "thesis.txt").touch()


ONNX = ("convert.sh", "--route", "onnx")
PROMPT = ("run.sh", "--prompt", "red ring")
OLD_LITE = {"LITE_HOME": "../mindspore-lite-2.9.1-linux-aarch64"}
FAILURES = {
    "there is no option": Failure(("bench.sh", "--fast"), 2),
    "has no value": Failure(("convert.sh", "--route"), 2),
    "ASCEND_HOME_PATH is not set": Failure(("convert.sh",), 2, environment={"ASCEND_HOME_PATH": None}),
    "ASCEND_HOME_PATH is <folder>": Failure(("build_kernels.sh",), 2, environment={"ASCEND_HOME_PATH": "/gone"}),
    "CANN is <version>": Failure(
        ("convert.sh",),
        2,
        lambda host: (host.cann / "x86_64-linux" / "ascend_toolkit_install.info").write_text("version=7.0.RC1\n"),
    ),
    "CANN's compiler is": Failure(("convert.sh",), 2, old_compiler),
    "LITE_HOME is": Failure(("convert.sh",), 2, environment={"LITE_HOME": "/gone"}),
    "<tool> is not in PATH": Failure(("convert.sh",), 2, environment={"LITE_HOME": None}),
    "is inside the bundle": Failure(("convert.sh", "--work", "../tiny.bundle/ascend/made"), 2),
    "is not empty and not of these": Failure(("build_kernels.sh",), 2, in_the_way),
    "cannot be written": Failure(("convert.sh", "--work", "/proc/made"), 2),
    "npu-smi is not in PATH": Failure(("check.sh",), 1, lambda host: (host.tools / "npu-smi").unlink()),
    "npu-smi info failed": Failure(("check.sh",), 1, environment={"FAKE_NPU": "fails"}),
    "npu-smi info lists no chip": Failure(("check.sh",), 1, environment={"FAKE_NPU": "empty"}),
    "this host has <chips>": Failure(("check.sh",), 1, environment={"FAKE_CHIP": "310P3"}),
    "Python has no mindspore_lite": Failure(("check.sh",), 1, environment={"FAKE_WHEEL": ""}),
    "mindspore_lite is <version>": Failure(("check.sh",), 1, environment={"FAKE_WHEEL": "2.0.0"}),
    "needed for --route onnx only": Failure(("check.sh",), 0),
    "check.sh: the operator package in": Failure(("check.sh",), 0, recompiled("build_kernels.sh")),
    "has no build.sh": Failure(
        ("build_kernels.sh",), 2, lambda host: shutil.rmtree(host.bundle / "kernels" / "ascend")
    ),
    "cmake is not in PATH": Failure(("build_kernels.sh",), 2, lambda host: (host.tools / "cmake").unlink()),
    "the operator project does not build": Failure(("build_kernels.sh",), 1, environment={"FAKE_BUILD": "fails"}),
    "the build left no": Failure(("build_kernels.sh",), 1, environment={"FAKE_BUILD": "empty"}),
    "does not install": Failure(("build_kernels.sh",), 1, environment={"FAKE_INSTALL": "fails"}),
    "the installed package has no": Failure(("build_kernels.sh",), 1, environment={"FAKE_OPERATORS": ""}),
    "there is no route": Failure(("convert.sh", "--route", "tflite"), 2),
    "there is no configuration": Failure(("convert.sh", "--config", "gone.cfg"), 2),
    "MindSpore Lite is <version>": Failure(("convert.sh",), 2, old_lite, OLD_LITE),  # type: ignore[arg-type]
    "has no manifest.json": Failure(("convert.sh",), 2, lambda host: (host.bundle / "manifest.json").unlink()),
    "is damaged": Failure(("convert.sh",), 2, cut_short),
    "<file> is missing; copy": Failure(ONNX, 2, listed_nowhere, {"ASCEND_CUSTOM_OPP_PATH": "/opt/vendors/x"}),
    "ASCEND_CUSTOM_OPP_PATH is not set": Failure(ONNX, 2),
    "convert.sh: the operator package in": Failure(ONNX, 2, recompiled("build_kernels.sh")),
    "EZ3003: <operator>": Failure(("convert.sh",), 1, environment={"FAKE_CONVERTER": "ez3003"}),
    "this MindSpore Lite is too old": Failure(("convert.sh",), 1, environment={"FAKE_CONVERTER": "old"}),
    "the converter failed on": Failure(("convert.sh",), 1, environment={"FAKE_CONVERTER": "silent"}),
    "the converter says it succeeded": Failure(("convert.sh",), 1, environment={"FAKE_CONVERTER": "lies"}),
    "has no converted": Failure(("bench.sh",), 2),
    "was converted from another bundle": Failure(PROMPT, 2, recompiled("convert.sh")),
    "<file> is missing; run": Failure(
        ("bench.sh",), 2, lambda host: (converted(host), (host.work / "sampling.mindir").unlink())
    ),
    "is no number of an NPU": Failure(("run.sh", "--device", "npu0"), 2),
    "there is nothing to run": Failure(("run.sh", "--device", "1"), 2),
    "coopdraw is not in PATH": Failure(PROMPT, 2, lambda host: (host.tools / "coopdraw").unlink()),
    "is no number; --device": Failure(("bench.sh", "--loops", "-1"), 2),
    "the benchmark failed on": Failure(("bench.sh",), 1, converted, {"FAKE_BENCHMARK": "fails"}),
    "the benchmark printed no times": Failure(("bench.sh",), 1, converted, {"FAKE_BENCHMARK": "silent"}),
}


def rows(host: Host, heading: str) -> list[tuple[str, ...]]:
    """The cells of the table below a heading of the kit's README."""
    text = (host.bundle / "deploy" / "README.md").read_text()
    table = text.partition(heading)[2].partition("\n## ")[0]
    cells = [
        tuple(cell.strip() for cell in line.strip("|").split(" | "))
        for line in table.splitlines()
        if line.startswith("| ")
    ]
    return [tuple(cell.removesuffix(" |").strip() for cell in row) for row in cells[1:]]


def failure_rows(host: Host) -> list[tuple[str, int, str]]:
    return [
        (script, int(code), text.strip("`"))
        for script, code, text, *_ in rows(host, "## What they print when it fails")
    ]


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what the README says, with something in place of each <word>."""
    parts = re.split(r"<[a-z]+>", pattern)
    return re.fullmatch(".*".join(re.escape(part) for part in parts), text) is not None


def row_of(host: Host, key: str) -> tuple[str, int, str]:
    """The row that a key of FAILURES begins or is part of, after `script: ` if two scripts have the same."""
    script, separator, words = key.rpartition(".sh: ")
    (row,) = (row for row in failure_rows(host) if words in row[2] and (not separator or row[0] == f"{script}.sh"))
    return row


@pytest.mark.parametrize("key", FAILURES)
def test_failure(host: Host, key: str) -> None:
    failure = FAILURES[key]
    script, code, pattern = row_of(host, key)
    failure.prepare(host)
    done = host.run(*failure.command, environment=failure.environment)
    assert (done.returncode, code) == (failure.code, failure.code), done.stdout + done.stderr
    assert script == "all" or failure.command[0] in script.split(", ")
    if failure.command[0] == "check.sh":
        lines = [line.split(maxsplit=2)[2] for line in done.stdout.splitlines() if not line.startswith("ok ")]
        assert any(matches(pattern, line) for line in lines), done.stdout
    else:
        (line,) = done.stderr.splitlines()
        assert matches(f"error: {pattern}", line), line


def test_every_row_is_tried(host: Host) -> None:
    assert sorted(row_of(host, key) for key in FAILURES) == sorted(failure_rows(host))
