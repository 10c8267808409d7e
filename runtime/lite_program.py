"""The program coopdraw-run: built from `native/` against MindSpore Lite, once, and kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from coopdraw.runtime.errors import BackendError, KernelBuildError
from coopdraw.runtime.lite_library import lite_folder
from coopdraw.runtime.native_build import NativeSources, built_file

PROGRAM_VARIABLE = "COOPDRAW_RUN"
"""Environment variable that names a coopdraw-run to use instead, such as one built for an NPU."""
_SOURCES = Path(__file__).parent / "native"
_SCRIPT = "build.sh"


def lite_program() -> Path:
    """The program; fetches MindSpore Lite and builds it at first use. Raises BackendError when that fails."""
    given = os.environ.get(PROGRAM_VARIABLE)
    if given:
        if not os.access(given, os.X_OK) or Path(given).is_dir():
            raise BackendError(f"{PROGRAM_VARIABLE} names {given}, which is no program; build it or unset the variable")
        return Path(given)
    lite = lite_folder()
    paths = [*sorted(_SOURCES.glob("*.h")), *sorted(_SOURCES.glob("*.cc")), _SOURCES / _SCRIPT]
    files = {path.name: path.read_bytes() for path in paths}
    try:
        sources = NativeSources("the sources of coopdraw-run", files, _SCRIPT, (str(lite),))
        return built_file(sources, Path("bin/coopdraw-run"))
    except KernelBuildError as error:
        raise BackendError(str(error)) from error
