"""Looks at the machine: what coopdraw needs, what is there, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

MINDSPORE_VERSION = "2.10.0"
LEAST_MEMORY = 2 * 2**30  # MindSpore's import and a small pipeline; a released expert's weights need 10 GB in float32
LEAST_DISK = 2 * 2**30
_CANN_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. "missing" is needed for the cpu target, "optional" is absent and may stay so."""

    name: str
    status: Literal["ok", "missing", "optional"]
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(
    folder: Path,
    *,
    version_of: Callable[[str], str | None] | None = None,
    environment: Mapping[str, str] = os.environ,
    devices: Path = Path("/dev"),
) -> list[Finding]:
    """All findings, in a fixed order. Imports none of the packages it looks for.

    `folder` is where bundles would be written; the other arguments are the machine, as tests want to see it.
    """
    version_of = version_of or _installed_version
    return [
        _python(),
        _numpy(version_of("numpy")),
        _mindspore(version_of("mindspore")),
        _memory(),
        _disk(folder),
        _npu(devices),
        _cann(environment),
        _lite(version_of("mindspore_lite")),
    ]


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("python", "ok", version)
    return Finding("python", "missing", version, "use Python 3.11 or 3.12")


def _numpy(version: str | None) -> Finding:
    fix = 'pip install "numpy>=1.24,<2": MindSpore 2.10 fails with NumPy 2'
    if version is None:
        return Finding("numpy", "missing", "not installed", fix)
    release = re.match(r"(\d+)\.(\d+)", version)
    if release is None or not (1, 24) <= (int(release[1]), int(release[2])) < (2, 0):
        return Finding("numpy", "missing", f"found {version}", fix)
    return Finding("numpy", "ok", version)


def _mindspore(version: str | None) -> Finding:
    fix = f"pip install mindspore=={MINDSPORE_VERSION}"
    if version is None:
        return Finding("mindspore", "missing", "not installed", fix)
    if version != MINDSPORE_VERSION:
        return Finding("mindspore", "missing", f"found {version}", fix)
    return Finding("mindspore", "ok", version)


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return Finding("memory", "optional", "cannot be read here", "see that 2 GB are free")
    detail = f"{available / 2**30:.1f} GB available"
    if available < LEAST_MEMORY:
        return Finding("memory", "missing", detail, "close other programs until 2 GB are free")
    return Finding("memory", "ok", detail)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GB free in the current folder"
    if free < LEAST_DISK:
        return Finding("disk", "missing", detail, "free 2 GB or work in another folder")
    return Finding("disk", "ok", detail)


def _npu(devices: Path) -> Finding:
    found = sorted(path.name for path in devices.glob("davinci[0-9]*"))
    if found:
        return Finding("npu", "ok", ", ".join(found))
    return Finding(
        "npu", "optional", "no davinci device", "needed only to run on Atlas; install the Ascend driver there"
    )


def _cann(environment: Mapping[str, str]) -> Finding:
    fix = "needed only on Atlas; install CANN and source its set_env.sh"
    for variable in _CANN_VARIABLES:
        folder = environment.get(variable)
        if folder:
            there = Path(folder).is_dir()
            detail = f"{variable}={folder}" + ("" if there else ", which is no folder")
            return Finding("cann", "ok", detail) if there else Finding("cann", "optional", detail, fix)
    return Finding("cann", "optional", f"{' and '.join(_CANN_VARIABLES)} are not set", fix)


def _lite(version: str | None) -> Finding:
    if version is not None:
        return Finding("mindspore_lite", "ok", version)
    fix = "needed only to run with MindSpore Lite; install its wheel from mindspore.cn"
    return Finding("mindspore_lite", "optional", "not installed", fix)
