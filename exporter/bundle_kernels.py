"""Puts the CPU kernels that a graph needs into its bundle: the built library and the sources to build it again."""

from __future__ import annotations

import shutil
from pathlib import Path

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.custom import Kernels, no_kernels
from coopdraw.kernels.cpu.build import cpu_library, cpu_sources
from coopdraw.kernels.cpu.selection import cpu_kernel
from coopdraw.runtime.kernel_build import LIBRARY
from coopdraw.runtime.kernel_library import SOURCES


def put_kernels(folder: Path, module: Module, wanted: bool) -> Kernels:
    """Which kernels the graph of `module` may call; writes what they need into the bundle `folder`.

    Nothing is written, and nothing needs a compiler, for a graph that no kernel is for or if kernels aren't `wanted`.
    Raises KernelBuildError when the library can't be built.
    """
    if not wanted or not any(cpu_kernel(node) for graph in module.graphs() for node in graph.nodes):
        return no_kernels
    library = folder / LIBRARY
    library.parent.mkdir()
    shutil.copyfile(cpu_library(), library)
    for name, source in cpu_sources().items():
        path = folder / SOURCES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    return cpu_kernel
