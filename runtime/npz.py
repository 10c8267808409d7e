"""Named tensors in `.npz` files, without pickles."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coopdraw.runtime.errors import InputError

# What NumPy and zipfile raise for damaged files.
_READ_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz` file; raises InputError for a file that is none, is damaged, or holds Python objects."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"{path} is a single array; save named arrays with numpy.savez")
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; save named arrays with numpy.savez") from None
    except _READ_ERRORS as error:
        raise InputError(f"{path} is not a readable .npz file ({error}); save it again with numpy.savez") from error


def write_npz(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays, uncompressed; the same arrays give the same bytes."""
    # numpy.savez takes the arrays as keywords, so it can't write one that is named `file`.
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
