"""Puts the CPU kernels that a graph needs into its bundle: the built library and the sources to build it again."""

from __future__ import annotations

import shutil
from pathlib import Path

from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.custom import LIBRARY, Kernels, is_fused, no_kernels
from coopdraw.kernels.cpu.build import cpu_library, cpu_sources
from coopdraw.kernels.cpu.selection import cpu_kernel

_SOURCES = "kernels/source"


def put_kernels(folder: Path, module: Module, wanted: bool) -> Kernels:
    """Which kernels the graph of `module` may call; writes what they need into the bundle `folder`.

    Nothing is written, and nothing needs a compiler, for a graph without fused operators or if kernels aren't `wanted`.
    Raises KernelBuildError when the library can't be built.
    """
    nodes = [node for graph in module.graphs() for node in graph.nodes if is_fused(node)]
    if not wanted or not any(cpu_kernel(node) for node in nodes):
        return no_kernels
    library = folder / LIBRARY
    library.parent.mkdir()
    shutil.copyfile(cpu_library(), library)
    for name, source in cpu_sources().items():
        path = folder / _SOURCES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    return cpu_kernel
