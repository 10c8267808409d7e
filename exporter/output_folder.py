"""A folder that appears whole or not at all: written beside its place under another name, then renamed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coopdraw.runtime.errors import BundleError


@contextmanager
def atomic_folder(output: Path) -> Iterator[Path]:
    """Gives a fresh folder to write into, which takes the place of `output` when the block ends without an error.

    What an earlier run left behind when it was killed is removed. Raises BundleError while another process writes the
    same output; on any error `output` is as it was.
    """
    output = output.absolute()
    partial, replaced = (output.with_name(f".{output.name}.{suffix}") for suffix in ("partial", "replaced"))
    with _lock(output):
        _recover(output, partial, replaced)
        partial.mkdir()
        try:
            yield partial
            if output.exists():
                output.rename(replaced)
            partial.rename(output)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            if replaced.exists() and not output.exists():
                replaced.rename(output)
            raise
        shutil.rmtree(replaced, ignore_errors=True)


def _recover(output: Path, partial: Path, replaced: Path) -> None:
    """Undoes what a killed run left: a half-written folder, or an old bundle between its two renames."""
    if partial.exists():
        shutil.rmtree(partial)
    if replaced.exists():
        if output.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(output)


@contextmanager
def _lock(output: Path) -> Iterator[None]:
    path = output.with_name(f".{output.name}.lock")
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(f"another process is writing {output}; wait for it or choose another folder") from None
        # A process that finished in between has removed the file that was locked here.
        if not path.exists() or os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise BundleError(f"another process has just written {output}; try again")
        try:
            yield
        finally:
            path.unlink()
    finally:
        os.close(descriptor)
