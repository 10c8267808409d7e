"""Looks at the machine: what coopdraw needs, what is there, and how to get what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from coopdraw.exporter.doctor_ascend import examine_ascend
from coopdraw.exporter.finding import Finding

TARGETS = ("cpu", "ascend")
MINDSPORE_VERSION = "2.10.0"
LEAST_MEMORY = 2 * 2**30  # MindSpore's import and a small pipeline; a released expert's weights need 10 GB in float32
LEAST_DISK = 2 * 2**30


def examine(
    folder: Path,
    *,
    target: str = "cpu",
    version_of: Callable[[str], str | None] | None = None,
    environment: Mapping[str, str] = os.environ,
    devices: Path = Path("/dev"),
    root: Path = Path("/"),
) -> list[Finding]:
    """All findings, in a fixed order. Imports none of the packages it looks for.

    `folder` is where bundles would be written. What only the target "ascend" needs is "optional" for "cpu". The other
    arguments are the machine, as tests want to see it.
    """
    version_of = version_of or _installed_version
    ascend = examine_ascend(version_of, environment, devices, root)
    if target == "cpu":
        ascend = [_not_needed(found) for found in ascend]
    return [
        _python(),
        _numpy(version_of("numpy")),
        _mindspore(version_of("mindspore")),
        _memory(),
        _disk(folder),
        *ascend,
    ]


def _not_needed(found: Finding) -> Finding:
    return found if found.status == "ok" else replace(found, status="optional", fix=f"only for Atlas: {found.fix}")


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
