"""The library of CPU kernels: its sources, and where it is built."""

from __future__ import annotations

from pathlib import Path

from coopdraw.runtime.kernel_build import built_library

_KERNELS = Path(__file__).resolve().parents[1]
_PATTERNS = ("cpu/build.sh", "cpu/exports.map", "cpu/*.h", "cpu/*.cc", "*/cpu_*.h", "*/cpu.cc")


def cpu_sources() -> dict[str, bytes]:
    """Everything the library is built from, by path below one folder; `sh cpu/build.sh OUTPUT` builds it there."""
    files = {path for pattern in _PATTERNS for path in _KERNELS.glob(pattern)}
    return {path.relative_to(_KERNELS).as_posix(): path.read_bytes() for path in sorted(files)}


def cpu_library() -> Path:
    """The library of this version's kernels, built at first use; raises KernelBuildError when it can't be."""
    return built_library(cpu_sources())
