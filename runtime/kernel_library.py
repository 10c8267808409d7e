"""Finds a bundle's CPU kernels for this machine: the library it carries, or one built from the sources beside it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from coopdraw.runtime.errors import BackendError, KernelBuildError
from coopdraw.runtime.kernel_build import LIBRARY, built_library

SOURCES = Path("kernels/source")
"""Where a bundle has the sources of its library."""
_WORKING_FOLDER = Lock()


def kernel_folder(bundle: Path) -> Path | None:
    """The folder under which LIBRARY can be loaded on this machine; None for a bundle without kernels.

    It is the bundle itself where its library loads. For another processor or an older C library, the bundle's sources
    are built once into the cache. Raises BackendError if that fails.
    """
    if not (bundle / LIBRARY).is_file():
        return None
    problem = _load_problem(bundle / LIBRARY)
    if problem is None:
        return bundle
    folder = bundle / SOURCES
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    try:
        library = built_library({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    except KernelBuildError as error:
        raise BackendError(f"the bundle's kernels don't load here ({problem}), and {error}") from error
    problem = _load_problem(library)
    if problem is not None:
        raise BackendError(f"{library} cannot be loaded ({problem}); remove it and run again")
    return library.parents[1]


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
