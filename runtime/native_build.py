"""Builds native code from its sources, once, and keeps it in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coopdraw.runtime.errors import KernelBuildError


@dataclass(frozen=True)
class NativeSources:
    """What is built: `sh <script> OUTPUT <arguments>...` makes one file from `files` (by path).

    `what` is its name in messages, in the plural.
    """

    what: str
    files: Mapping[str, bytes]
    script: str
    arguments: tuple[str, ...] = ()


def built_file(sources: NativeSources, path: Path) -> Path:
    """What the script makes, at `path` in a folder of the cache.

    The folder's name stands for sources, arguments, compiler and processor family. Raises KernelBuildError when it is
    not in the cache and cannot be built. Processes may build at the same time.
    """
    compiler = _compiler(sources.what)
    folder = cache_folder(sources.what) / _key(sources, compiler)
    built = folder / path
    if not built.is_file():
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
                output = Path(work) / path
                _build(sources, compiler, Path(work), output)
                _publish(output, built)
        except OSError as error:
            raise KernelBuildError(
                f"{sources.what} cannot be stored in {folder.parent} ({error.strerror or error}); make room there or "
                "set XDG_CACHE_HOME to a folder that can be written"
            ) from error
    return built


def cache_folder(what: str) -> Path:
    """Where this user's native code is kept; raises KernelBuildError, naming `what`, for a user without a home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "coopdraw"
    except RuntimeError as error:
        raise KernelBuildError(f"{what} have no cache ({error}); set XDG_CACHE_HOME to a folder") from error


def _compiler(what: str) -> str:
    name = os.environ.get("CXX") or "g++"
    found = shutil.which(name)
    if found is None:
        raise KernelBuildError(
            f"{what} need a C++ compiler, but there is no {name}; install g++ 11 or later, or set CXX to one"
        )
    return found


def _key(sources: NativeSources, compiler: str) -> str:
    digest = hashlib.sha256(f"{platform.machine()}\n{_version(compiler)}\n".encode())
    for argument in sources.arguments:
        digest.update(f"{argument}\n".encode())
    for name, data in sources.files.items():
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


def _version(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise KernelBuildError(f"{compiler} --version fails ({_first_error(done.stderr)}); set CXX to a g++ that works")
    return done.stdout


def _build(sources: NativeSources, compiler: str, work: Path, output: Path) -> None:
    """Builds from a copy of the sources, so that what is built is what the key was made from."""
    for name, data in sources.files.items():
        path = work / "sources" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    output.parent.mkdir(parents=True, exist_ok=True)
    command = ["sh", str(work / "sources" / sources.script), str(output), *sources.arguments]
    environment = {**os.environ, "CXX": compiler, "TMPDIR": str(work), "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise KernelBuildError(
            f"{compiler} cannot build {sources.what} ({_first_error(done.stderr)}); set CXX to g++ 11 or later"
        )


def _publish(output: Path, built: Path) -> None:
    """Puts the file into place in one step; another process may have been quicker, with the same bytes."""
    built.parent.mkdir(parents=True, exist_ok=True)
    os.replace(output, built)


def _first_error(text: str) -> str:
    """The compiler's first error, or the last line it wrote."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
