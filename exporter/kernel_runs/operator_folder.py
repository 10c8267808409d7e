"""An operator's folder in the public repositories: op_kernel/*.cpp, tiling structs beside it or in op_host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.exporter.kernel_runs.tiling_data import TilingStructs
from coopdraw.kernels.simulator import build
from coopdraw.kernels.simulator.build import CoreChoice, tiling_definitions

_ENDING = ("workspace", "tiling")
_DEFAULT = re.compile(r"REGISTER_TILING_DEFAULT\(\s*([\w:]+)\s*\)")
_REGISTERED = re.compile(r"REGISTER_TILING_DATA_CLASS\(\s*\w+\s*,\s*(\w+)\s*\)")
_MIXED = re.compile(r"KERNEL_TYPE_MIX_AIC|REGIST_MATMUL_OBJ|ASCEND_IS_AIC")
_CUBE_TILING = Path(build.__file__).parent / "sim" / "matmul_types.h"


@dataclass(frozen=True)
class OperatorFolder:
    """The kernel `entry` of a folder.

    `parameters` are its tensors by name, as the kernel declares them. `structs` are the tiling structs that the
    sources define, `struct` is the one of the kernel, None if nothing says which. `definitions` is the C++ of structs
    by macros.
    """

    entry: str
    source: Path
    parameters: tuple[str, ...]
    structs: TilingStructs
    struct: str | None
    definitions: str
    cores: CoreChoice
    include_folders: tuple[Path, ...]


def open_operator(folder: Path, entry: str) -> OperatorFolder:
    """Reads what is needed to build and call a kernel; raises KernelRequestError if the folder has no such kernel."""
    kernels = folder / "op_kernel"
    if not kernels.is_dir():
        raise KernelRequestError(f"{folder} has no folder op_kernel; name the folder of one operator")
    source, parameters = _kernel(kernels, entry)
    headers = [path for place in (folder / "op_host", kernels) for path in sorted(place.glob("*.h"))]
    texts = [_read(path) for path in headers]
    definitions = "\n".join(found for found in map(tiling_definitions, texts) if found)
    code = [_read(path) for path in sorted(kernels.rglob("*")) if path.suffix in (".h", ".cpp")]
    return OperatorFolder(
        entry=entry,
        source=source,
        parameters=parameters,
        structs=TilingStructs([*texts, _read(source), _read(_CUBE_TILING)]),
        struct=_struct(_read(source), definitions),
        definitions=definitions,
        cores="mixed" if any(_MIXED.search(text) for text in code) else "vector",
        include_folders=_include_folders(folder),
    )


def _kernel(kernels: Path, entry: str) -> tuple[Path, tuple[str, ...]]:
    """The file that defines the entry, that of the same name first, and the entry's tensors."""
    declared = re.compile(rf"\bvoid\s+{re.escape(entry)}\s*\(([^)]*)\)")
    paths = sorted(kernels.rglob("*.cpp"), key=lambda path: (path.stem != entry, path))
    for path in paths:
        found = declared.search(_read(path))
        if found:
            names = tuple(part.split()[-1].lstrip("*&") for part in found[1].split(",") if part.strip())
            if names[-2:] != _ENDING:
                raise KernelRequestError(f"{entry} in {path} does not end with workspace and tiling, as kernels do")
            return path, names[:-2]
    raise KernelRequestError(f"no .cpp in {kernels} defines {entry}; correct --entry")


def _struct(source: str, definitions: str) -> str | None:
    found = _DEFAULT.search(source) or _REGISTERED.search(definitions)
    return found[1].rpartition(":")[2] if found else None


def _include_folders(folder: Path) -> tuple[Path, ...]:
    """The operator's own, and its neighbours' common ones, such as norm/norm_common of the public repositories."""
    own = [folder / "op_kernel", folder / "op_host", folder]
    common = sorted(path for path in folder.resolve().parent.glob("*common*/op_kernel") if path.is_dir())
    return tuple(path for path in (*own, *common) if path.is_dir())


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
