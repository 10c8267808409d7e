"""Finds a bundle's CPU kernels for this machine: the library it carries, or one built from the sources beside it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from coopdraw.runtime.errors import BackendError

LIBRARY = Path("kernels/libcoopdraw_cpu.so")
"""Where `Custom` nodes say that the library is, from the working directory in which a graph is compiled."""
BUILD_SCRIPT = Path("kernels/source/cpu/build.sh")
_SECONDS = 600
_WORKING_FOLDER = Lock()


def kernel_folder(bundle: Path) -> Path | None:
    """The folder under which LIBRARY can be loaded on this machine; None for a bundle without kernels.

    It is the bundle itself where its library loads. For another processor or an older C library, the sources in the
    bundle are built once into the cache. Raises BackendError if that fails.
    """
    if not (bundle / LIBRARY).is_file():
        return None
    problem = _load_problem(bundle / LIBRARY)
    if problem is None:
        return bundle
    built = cache_folder() / f"bundle-{_hash(bundle / BUILD_SCRIPT.parent.parent)}"
    if not (built / LIBRARY).is_file():
        _build(bundle / BUILD_SCRIPT, built, problem)
    problem = _load_problem(built / LIBRARY)
    if problem is not None:
        raise BackendError(f"{built / LIBRARY} cannot be loaded ({problem}); remove it and run again")
    return built


def cache_folder() -> Path:
    """Where built libraries are kept: $XDG_CACHE_HOME/coopdraw or ~/.cache/coopdraw."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coopdraw"


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Makes `folder` the process's working directory for a moment; MindSpore resolves a library's path from there."""
    with _WORKING_FOLDER:
        before = os.open(".", os.O_RDONLY)
        try:
            os.chdir(folder)
            yield
        finally:
            os.fchdir(before)
            os.close(before)


def _load_problem(library: Path) -> str | None:
    try:
        ctypes.CDLL(str(library.absolute()))
    except OSError as error:
        return str(error)
    return None


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(script: Path, target: Path, problem: str) -> None:
    """Builds beside the target and renames, so that two processes may do it at once."""
    told = f"the bundle's CPU kernels don't run on this machine ({problem})"
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise BackendError(f"{told} and there is no g++ to build them; install g++ 9 or later")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name) / "built"
        (folder / LIBRARY).parent.mkdir(parents=True)
        command = ["sh", str(script.absolute()), str(folder / LIBRARY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BackendError(f"{told} and building them failed ({last}); install g++ 9 or later")
        if not (target / LIBRARY).is_file():
            folder.rename(target)
