"""Writes operator projects: what CANN's toolkit builds an operator package from.

The shape of a project is that of asc-devkit:docs/zh/guide/编程指南/高级编程/Aclnn算子工程化开发/编译与部署/基本流程.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coopdraw.graphs.errors import GraphError
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.render import host_source, kernel_source, render_project_file, tiling_header

VENDOR = "coopdraw"
"""Below which name of the toolkit's vendors/ the operators are installed."""

_FILES = (
    "CMakeLists.txt",
    "CMakePresets.json",
    "README.md",
    "build.sh",
    "framework/CMakeLists.txt",
    "framework/onnx_plugin/CMakeLists.txt",
    "framework/onnx_plugin/attributes.h",
    "op_host/CMakeLists.txt",
    "op_kernel/CMakeLists.txt",
)


def project_files(kernels: Sequence[AscendKernel], layout: Layout, socs: Sequence[str]) -> dict[str, str]:
    """The files of an operator project by path: the same for the same kernels, layout and SoCs.

    `socs` are those to build for, as AddConfig names them. Raises GraphError if there is no kernel, no SoC, or one that
    a kernel isn't for.
    """
    _check(kernels, socs)
    ordered = sorted(kernels, key=lambda kernel: kernel.entry)
    files = {}
    for name in _FILES:
        files[name] = render_project_file(name, kernels=ordered, layout=layout, socs=tuple(socs), vendor=VENDOR)
    for kernel in ordered:
        header_folder = "op_kernel" if layout is Layout.CANN9 else "op_host"
        files[f"{header_folder}/{kernel.entry}_tiling.h"] = tiling_header(kernel, layout)
        files[f"op_host/{kernel.entry}.cpp"] = host_source(kernel, layout, tuple(socs))
        files[f"op_kernel/{kernel.entry}.cpp"] = kernel_source(kernel, layout)
        files[f"framework/onnx_plugin/{kernel.entry}_plugin.cc"] = render_project_file(
            "framework/onnx_plugin/plugin.cc", kernel=kernel
        )
    return dict(sorted(files.items()))


def write_project(folder: Path, kernels: Sequence[AscendKernel], layout: Layout | str, socs: Sequence[str]) -> None:
    """Writes an operator project into a new or empty folder; raises GraphError if it isn't, or as project_files."""
    files = project_files(kernels, Layout(layout), socs)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise GraphError(f"{folder} is not empty; name a new folder for the operator project")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def _check(kernels: Sequence[AscendKernel], socs: Sequence[str]) -> None:
    if not kernels:
        raise GraphError("an operator project needs at least one kernel; name one")
    if not socs:
        raise GraphError("an operator project needs at least one SoC; name one, such as ascend910b")
    for kernel in kernels:
        missing = [soc for soc in socs if soc not in kernel.socs]
        if missing:
            raise GraphError(
                f"{kernel.type_name} is for {' and '.join(kernel.socs)}, not for {missing[0]}; leave one of them out"
            )
