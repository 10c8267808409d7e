"""MindSpore Lite's C++ libraries and headers, fetched once from its published wheel into the user's cache.

`python -m coopdraw.runtime.lite_library` prints the folder that has them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coopdraw.runtime.errors import BackendError, KernelBuildError
from coopdraw.runtime.native_build import cache_folder

VERSION = "2.0.0"
WHEEL_SHA256 = "199cd0605cc985b88eddb273db9dfe9000a585ba10ca2292b6b36ebfff07b3ec"
WHEEL_VARIABLE = "COOPDRAW_LITE_WHEEL"
"""Environment variable that names the wheel on a machine without a package index."""
_WHEEL = f"mindspore_lite-{VERSION}-cp37-cp37m-manylinux1_x86_64.whl"
_PLATFORM = ("--python-version=3.7", "--implementation=cp", "--abi=cp37m", "--platform=manylinux1_x86_64")
# What the C++ API and a MindIR model on the CPU load, with sizes in bytes; the wheel has more, for GPU and NPU.
_LIBRARIES = {
    "libdnnl.so.2": 55310896,
    "libmindspore-extendrt_python.so": 142156360,
    "libmindspore_converter.so": 57075392,
    "libmindspore_core.so": 28483224,
    "libmindspore_glog.so.0": 153616,
    "libmslite_converter_plugin.so": 620400,
    "libmsplugin-ge-litert_python.so": 11809968,
    "libopencv_core.so.4.5": 4479480,
    "libopencv_imgcodecs.so.4.5": 1957736,
    "libopencv_imgproc.so.4.5": 6494584,
    "libruntime_convert_plugin_python.so": 702352,
}
_PATHS = frozenset(f"lib/{name}" for name in _LIBRARIES)


def lite_folder() -> Path:
    """The folder with `include/` and `lib/`; fetches them first if the cache lacks them (169 MB, seen on stderr).

    Raises BackendError on other machines than x86-64 Linux, without a package index, for a wheel of another hash, and
    where the cache can't be written. Processes may fetch at the same time: one does, the others wait.
    """
    machine = f"{platform.machine()} {platform.system()}"
    if machine != "x86_64 Linux":
        raise BackendError(
            f"MindSpore Lite {VERSION} is published for x86-64 Linux, not for {machine}; build coopdraw-run with the "
            "official package and name it in COOPDRAW_RUN (docs/embedding.md)"
        )
    try:
        folder = cache_folder("MindSpore Lite's libraries") / f"mindspore-lite-{VERSION}"
    except KernelBuildError as error:
        raise BackendError(str(error)) from error
    if not _is_whole(folder):
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{folder.name}.lock")):
                if not _is_whole(folder):
                    _fetch(folder)
        except OSError as error:
            raise BackendError(
                f"MindSpore Lite cannot be stored in {folder.parent} ({error.strerror or error}); make room for 500 MB "
                "there or set XDG_CACHE_HOME to another folder"
            ) from error
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        return all((folder / "lib" / name).stat().st_size == size for name, size in _LIBRARIES.items())
    except OSError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock, which ends with the process that has it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as work:
        wheel = _given_wheel() or _download(Path(work))
        if _sha256(wheel) != WHEEL_SHA256:
            raise BackendError(
                f"{wheel.name} is not the published wheel: its sha256 differs; use a package index that has the "
                f"original, or name the file in {WHEEL_VARIABLE}"
            )
        extracted = Path(work) / "extracted"
        _extract(wheel, extracted)
        if folder.exists():  # incomplete: someone removed or cut files
            folder.rename(Path(work) / "damaged")
        extracted.rename(folder)


def _given_wheel() -> Path | None:
    given = os.environ.get(WHEEL_VARIABLE)
    if given and not Path(given).is_file():
        raise BackendError(f"{WHEEL_VARIABLE} names {given}, which is no file; give the path of {_WHEEL}")
    return Path(given) if given else None


def _download(folder: Path) -> Path:
    """Asks the user's package index, with the user's settings of pip."""
    print(f"fetching MindSpore Lite {VERSION} (169 MB, once)", file=sys.stderr)
    requirement = folder / "requirement.txt"
    requirement.write_text(f"mindspore-lite=={VERSION} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-cache-dir"]
    command += [
        "--no-deps",
        "--only-binary=:all:",
        *_PLATFORM,
        "--dest",
        str(folder),
        "--requirement",
        str(requirement),
    ]
    # On a terminal, pip's bar goes to standard error, like all progress.
    progress = 2 if sys.stderr.isatty() else subprocess.DEVNULL
    done = subprocess.run(command, stdout=progress, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode or not (folder / _WHEEL).is_file():
        raise BackendError(
            f"pip cannot fetch {_WHEEL} ({_last_line(done.stderr)}); check the connection, or fetch the file elsewhere "
            f"and name it in {WHEEL_VARIABLE}"
        )
    return folder / _WHEEL


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else "no message"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extract(wheel: Path, folder: Path) -> None:
    """The headers and the libraries that are needed. The hash vouches for names and sizes in the archive."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top, _, path = name.partition("/")
            if top != "mindspore_lite" or not (path.startswith("include/") or path in _PATHS):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 2**20)


if __name__ == "__main__":
    try:
        print(lite_folder())
    except BackendError as error:
        sys.exit(f"error: {error}")
