"""Builds Ascend C kernels for the host with g++ against the simulator's headers, and keeps them in the user's cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2

from coopdraw.kernels.simulator.soc import Soc
from coopdraw.runtime.errors import KernelBuildError
from coopdraw.runtime.native_build import cache_folder

_FOLDER = Path(__file__).parent
_SOURCES = ("*.h", "*.hpp", "*.cpp", "*.cc", "*.inc")
_FLAGS = (
    "-std=c++20",
    "-O2",
    "-march=native",
    "-ffp-contract=off",
    "-fvect-cost-model=dynamic",
    "-fno-strict-aliasing",
    "-fPIC",
)
_TILING = re.compile(
    r"^\s*(BEGIN_TILING_DATA_DEF\(.*?END_TILING_DATA_DEF\s*;|REGISTER_TILING_DATA_CLASS\([^)]*\))",
    re.DOTALL | re.MULTILINE,
)

CoreChoice = Literal["vector", "cube", "mixed"]


@dataclass(frozen=True)
class Program:
    """A kernel that was built: the simulator and the kernel's library for vector and for cube cores."""

    simulator: Path
    vector: Path | None
    cube: Path | None
    arguments: int
    soc: Soc


def build_kernel(
    source: Path | str,
    entry: str,
    arguments: int,
    soc: Soc,
    *,
    include_folders: Sequence[Path] = (),
    tiling: str = "",
    tiling_struct: str | None = None,
    defines: Mapping[str, str] | None = None,
    cores: CoreChoice = "vector",
) -> Program:
    """Builds the kernel function `entry` of `source` (a file, or the text of one).

    `arguments` counts the tensors the function takes before workspace and tiling. `tiling` is C++ that defines the
    tiling data, as a struct or with the macros of the host part (then `tiling_struct` is by default the first class
    that it registers). `cores` says which units the kernel is compiled for: a mixed one is built twice, as the device
    compiler does. Raises KernelBuildError, with the compiler's first error, for what is not C++ or not in the API.
    """
    compiler = _compiler()
    text = _entry_text(source, entry, arguments, tiling, tiling_struct)
    folders = [*include_folders, *([source.parent] if isinstance(source, Path) else [])]
    flags = [f"-D{name}={value}" for name, value in (defines or {}).items()]
    kinds = {"vector": ["VEC"], "cube": ["CUBE"], "mixed": ["VEC", "CUBE"]}[cores]
    libraries = {kind: _library(compiler, text, folders, [*flags, *_core_flags(soc, kind)]) for kind in kinds}
    return Program(_simulator(compiler, soc), libraries.get("VEC"), libraries.get("CUBE"), arguments, soc)


def tiling_definitions(header: str) -> str:
    """What the header of a host part says about tiling data, without the host's includes and classes."""
    return "\n".join(match.group(1) for match in _TILING.finditer(header))


def _entry_text(source: Path | str, entry: str, arguments: int, tiling: str, tiling_struct: str | None) -> str:
    if tiling_struct is None:
        registered = re.search(r"REGISTER_TILING_DATA_CLASS\(\s*\w+\s*,\s*(\w+)\s*\)", tiling)
        tiling_struct = registered.group(1) if registered else None
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string((_FOLDER / "kernel_entry.cc.j2").read_text()).render(
        tiling=tiling,
        tiling_struct=tiling_struct,
        source_path=source.resolve() if isinstance(source, Path) else None,
        source_text=source if isinstance(source, str) else None,
        entry=entry,
        arguments=arguments,
    )


def _core_flags(soc: Soc, kind: str) -> list[str]:
    """What the device compiler defines for a SoC and a kind of core."""
    flags = [f"-D__NPU_ARCH__={soc.architecture}"]
    if soc.coupled:
        return [*flags, "-D__CCE_AICORE__=200", "-D__DAV_M200__"]
    return [*flags, "-D__CCE_AICORE__=220", f"-D__DAV_{kind}__", f"-D__DAV_C220_{kind}__", f"-DSPLIT_CORE_{kind}"]


def _library(compiler: str, text: str, folders: Sequence[Path], flags: Sequence[str]) -> Path:
    """The shared object of a kernel, from the cache when the same was built before."""
    key = _digest(compiler, [text, *flags], [*folders, _FOLDER / "include", _FOLDER / "sim"])
    includes = [f"-I{folder}" for folder in (_FOLDER / "include", *folders)]
    library = _cache() / "kernels" / f"{key}.so"
    if not library.is_file():
        with _work_folder(library) as work:
            entry = Path(work) / "entry.cc"
            entry.write_text(text)
            command = [compiler, *_FLAGS, "-fno-semantic-interposition", "-w", *flags, *includes, "-shared"]
            _run([*command, str(entry), "-o", str(Path(work) / "kernel.so")], "the kernel")
            os.replace(Path(work) / "kernel.so", library)
    return library


def _simulator(compiler: str, soc: Soc) -> Path:
    """The program that runs kernels of the SoC's architecture, from the cache when it was built before."""
    flags = [*_FLAGS, "-Wall", "-Wextra", *_core_flags(soc, "NONE")[:2]]
    program = _cache() / "simulators" / _digest(compiler, flags, [_FOLDER / "sim"])
    if not program.is_file():
        with _work_folder(program) as work:
            sources = sorted((_FOLDER / "sim").glob("*.cc"))
            objects = [str(Path(work) / f"{source.stem}.o") for source in sources]

            def build(source: Path, target: str) -> None:
                _run([compiler, *flags, "-c", str(source), "-o", target], "the simulator")

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(build, sources, objects))
            built = str(Path(work) / "simulator")
            _run([compiler, "-rdynamic", "-o", built, *objects, "-ldl"], "the simulator")
            os.replace(built, program)
    return program


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        raise KernelBuildError(f"g++ cannot build {what} ({_first_error(done.stderr)}); correct the source it names")


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = next((line for line in lines if "error:" in line), lines[-1] if lines else "no message")
    return re.sub(r"^(\S*/)(?=[^/\s]+:\d)", "", found)


def _compiler() -> str:
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise KernelBuildError(f"the simulator needs a C++ compiler, but there is no {name}; install g++ 12 or later")
    return found


def _cache() -> Path:
    return cache_folder("simulated kernels") / "ascend"


def _work_folder(target: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="build.", dir=target.parent)
    except OSError as error:
        raise KernelBuildError(
            f"simulated kernels cannot be stored in {target.parent} ({error.strerror or error}); make room there or "
            "set XDG_CACHE_HOME to a folder that can be written"
        ) from error


def _digest(compiler: str, texts: Iterable[str], folders: Iterable[Path]) -> str:
    """Stands for the compiler, the texts and every source file below the folders."""
    version = subprocess.run([compiler, "--version"], capture_output=True).stdout
    digest = hashlib.sha256(version)
    for text in (*texts, *_FLAGS):
        digest.update(f"{len(text)}\n{text}".encode())
    for folder in folders:
        for path in sorted(path for pattern in _SOURCES for path in folder.rglob(pattern)):
            data = path.read_bytes()
            digest.update(f"{path}\n{len(data)}\n".encode())
            digest.update(data)
    return digest.hexdigest()[:32]
