"""Reads what a kernel of a folder is called with: arrays from NPZ, tiling values from JSON."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an NPZ file by name; bfloat16 comes as uint16. Pickled ones are refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files"):
                raise KernelRequestError(f"{path} has one array without a name; save it with numpy.savez")
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise KernelRequestError(
            f"{path} is no NPZ file of plain arrays ({error}); write it with numpy.savez"
        ) from None


def read_tiling(path: Path) -> dict[str, Any]:
    """The fields of a tiling struct by name: numbers, lists of numbers, and objects for structs in it."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise KernelRequestError(f"{path} is no JSON ({error}); write an object of fields") from None
    if not isinstance(values, dict):
        raise KernelRequestError(f"{path} is no JSON object; write the fields by name")
    return values
