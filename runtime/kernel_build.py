"""Builds a library of CPU kernels from its sources, once, and keeps it in the user's cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from coopdraw.runtime.native_build import NativeSources, built_file

LIBRARY = Path("kernels/libcoopdraw_cpu.so")
"""Where graphs look for the library, from the working directory in which they are compiled."""
_SCRIPT = "cpu/build.sh"


def built_library(sources: Mapping[str, bytes]) -> Path:
    """The library that `sh cpu/build.sh OUTPUT` builds from `sources` (by path): `<cache>/<key>/kernels/<name>`.

    Raises KernelBuildError when it is not in the cache and cannot be built. Processes may build at the same time.
    """
    return built_file(NativeSources("the CPU kernels", sources, _SCRIPT), LIBRARY)
