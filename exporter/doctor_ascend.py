"""Looks at what the Ascend target needs of a machine: driver, CANN, MindSpore Lite, custom operator package."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from coopdraw.exporter.finding import Finding

LEAST_LITE = (2, 10)
"""MindSpore Lite that reads the MindIR of MindSpore 2.10; the ONNX route of a bundle takes 2.7."""
LEAST_CANN = (8, 0)
LEAST_COMPILER = (7, 5)
"""What MindSpore Lite's converter needs, in the count of CANN's compiler/version.info
(mindspore-ai/docs:docs/lite/docs/source_en/mindir/converter_tool.md)."""
_CANN_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")
_DRIVER = "usr/local/Ascend/driver/version.info"
_LITE_FIX = (
    "install the wheel of mindspore_lite for Ascend, version 2.10 or later, from mindspore.cn (PyPI has only 2.0.0)"
)
_TOOLS_FIX = "unpack the MindSpore Lite package for Ascend from mindspore.cn and set LITE_HOME to its folder"


def examine_ascend(
    version_of: Callable[[str], str | None], environment: Mapping[str, str], devices: Path, root: Path
) -> list[Finding]:
    """All findings, in a fixed order; what lacks is "missing". `root` is the folder in which /usr/local is."""
    return [
        _npu(devices),
        _driver(root),
        _cann(environment),
        _lite(version_of("mindspore_lite")),
        _converter(environment, version_of("mindspore_lite")),
        _operators(environment),
    ]


def _npu(devices: Path) -> Finding:
    found = sorted(path.name for path in devices.glob("davinci[0-9]*"))
    if found:
        return Finding("npu", "ok", ", ".join(found))
    return Finding("npu", "missing", "no davinci device", "run on an Atlas host; in a container, pass /dev/davinci* on")


def _driver(root: Path) -> Finding:
    fix = "install the driver and firmware for this CANN, from hiascend.com; in a container, mount the host's"
    version = _read_version(root / _DRIVER, "Version")
    return Finding("driver", "ok", version) if version else Finding("driver", "missing", f"no /{_DRIVER}", fix)


def _cann(environment: Mapping[str, str]) -> Finding:
    fix = "install CANN 8 or later with the operator package of the chip, from hiascend.com, and source its set_env.sh"
    variable = next((name for name in _CANN_VARIABLES if environment.get(name)), None)
    if variable is None:
        return Finding("cann", "missing", f"{' and '.join(_CANN_VARIABLES)} are not set", fix)
    folder = Path(environment[variable])
    if not folder.is_dir():
        return Finding("cann", "missing", f"{variable}={folder}, which is no folder", fix)
    infos = sorted(folder.glob("*-linux/ascend_toolkit_install.info"))
    release = _read_version(infos[0], "version") if infos else None
    compiler = _read_version(folder / "compiler" / "version.info", "Version")
    if release is None and compiler is None:
        return Finding("cann", "missing", f"{variable}={folder} has no version, so it is no CANN", fix)
    detail = f"{release or f'compiler {compiler}'} in {folder}"
    too_old = _numbers(release) < LEAST_CANN if release else _numbers(compiler or "") < LEAST_COMPILER
    return Finding("cann", "missing", f"{detail} is too old", fix) if too_old else Finding("cann", "ok", detail)


def _lite(version: str | None) -> Finding:
    if version is None:
        return Finding("mindspore_lite", "missing", "not installed", _LITE_FIX)
    if _numbers(version) < LEAST_LITE:
        return Finding("mindspore_lite", "missing", f"found {version}", _LITE_FIX)
    return Finding("mindspore_lite", "ok", version)


def _converter(environment: Mapping[str, str], wheel: str | None) -> Finding:
    name, home = "converter_lite", environment.get("LITE_HOME")
    tool = Path(home, "tools/converter/converter/converter_lite") if home else None
    if tool is None:
        in_path = shutil.which("converter_lite", path=environment.get("PATH", ""))
        if in_path is None:
            return Finding(name, "missing", "not in PATH, and LITE_HOME is not set", _TOOLS_FIX)
        tool = Path(in_path)
    elif not os.access(tool, os.X_OK):
        return Finding(name, "missing", f"LITE_HOME={home} has no tools/converter/converter/converter_lite", _TOOLS_FIX)
    package = re.search(r"/mindspore-lite-(\d[0-9.]*)", str(tool.resolve()))
    if package and wheel and _numbers(package[1]) != _numbers(wheel):
        detail = f"{package[1]} beside mindspore_lite {wheel}"
        return Finding(name, "missing", detail, "install tools and wheel of the same release of MindSpore Lite")
    return Finding(name, "ok", str(tool))


def _operators(environment: Mapping[str, str]) -> Finding:
    """Optional even for Ascend: only bundles converted by the ONNX route call custom operators."""
    name = "operators"
    fix = "for the ONNX route: run a bundle's deploy/build_kernels.sh; its convert.sh and run.sh find the package"
    paths = [Path(text) for text in environment.get("ASCEND_CUSTOM_OPP_PATH", "").split(":") if text]
    if not paths:
        return Finding(name, "optional", "ASCEND_CUSTOM_OPP_PATH is not set", fix)
    for path in paths:
        if not (path / "op_impl").is_dir():
            return Finding(name, "optional", f"{path} of ASCEND_CUSTOM_OPP_PATH is no operator package", fix)
    return Finding(name, "ok", ", ".join(str(path) for path in paths))


def _read_version(path: Path, key: str) -> str | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{key}=(\S+)", text, re.MULTILINE)
    return found[1] if found else None


def _numbers(version: str) -> tuple[int, int]:
    """Major and minor version; (0, 0) for what is none."""
    found = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
