"""Builds a library of CPU kernels from its sources, once, and keeps it in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from coopdraw.runtime.errors import KernelBuildError

LIBRARY = Path("kernels/libcoopdraw_cpu.so")
"""Where graphs look for the library, from the working directory in which they are compiled."""
_SCRIPT = "cpu/build.sh"


def built_library(sources: Mapping[str, bytes]) -> Path:
    """The library that `sh cpu/build.sh OUTPUT` builds from `sources` (by path): `<cache>/<key>/kernels/<name>`.

    The key stands for sources, compiler and processor family. Raises KernelBuildError when it is not in the cache and
    cannot be built. Processes may build at the same time.
    """
    compiler = _compiler()
    folder = _cache_folder() / _key(sources, compiler)
    library = folder / LIBRARY
    if not library.is_file():
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
                _build(sources, compiler, Path(work))
                _publish(Path(work) / LIBRARY, library)
        except OSError as error:
            raise KernelBuildError(
                f"the CPU kernels cannot be stored in {folder.parent} ({error.strerror or error}); make room there or "
                "set XDG_CACHE_HOME to a folder that can be written"
            ) from error
    return library


def _compiler() -> str:
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise KernelBuildError(
            f"the CPU kernels need a C++ compiler, but there is no {name}; install g++ 11 or later, or set CXX to one"
        )
    return found


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "coopdraw"
    except RuntimeError as error:
        raise KernelBuildError(f"the CPU kernels have no cache ({error}); set XDG_CACHE_HOME to a folder") from error


def _key(sources: Mapping[str, bytes], compiler: str) -> str:
    digest = hashlib.sha256(f"{platform.machine()}\n{_version(compiler)}\n".encode())
    for name, data in sources.items():
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise KernelBuildError(f"{compiler} --version fails ({_first_error(done.stderr)}); set CXX to a g++ that works")
    return done.stdout


def _build(sources: Mapping[str, bytes], compiler: str, work: Path) -> None:
    """Builds from a copy of the sources, so that what is built is what the key was made from."""
    for name, data in sources.items():
        path = work / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    output = work / LIBRARY
    output.parent.mkdir(parents=True, exist_ok=True)
    command = ["sh", str(work / "sources" / _SCRIPT), str(output)]
    environment = {**os.environ, "CXX": compiler, "TMPDIR": str(work), "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise KernelBuildError(
            f"{compiler} cannot build the CPU kernels ({_first_error(done.stderr)}); set CXX to g++ 11 or later"
        )


def _publish(built: Path, library: Path) -> None:
    """Puts the library into place in one step; another process may have been quicker, with the same bytes."""
    library.parent.mkdir(parents=True, exist_ok=True)
    os.replace(built, library)


def _first_error(text: str) -> str:
    """The compiler's first error, or the last line it wrote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
