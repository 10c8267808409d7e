"""What a bundle's `deploy/convert.sh` left beside it: the models converted for one chip, each with a stamp."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from coopdraw.runtime.errors import BackendError
from coopdraw.runtime.manifest import MANIFEST_NAME

WORK_SUFFIX = ".ascend"
"""The folder of converted models is the bundle's path with this at the end."""
WORK_VARIABLE = "COOPDRAW_ASCEND_FOLDER"
"""Environment variable that names another folder of converted models."""
STAMP_SUFFIX = ".stamp"
RUNTIME_CONFIG = "runtime.cfg"
_STAMP_KEYS = {"bundle", "route", "soc", "model"}


@dataclass(frozen=True)
class ConvertedModel:
    """A converted graph: its file, the route it came by ("mindir" or "onnx"), and the SoC it is for."""

    path: Path
    route: str
    soc: str


def work_folder(bundle: Path) -> Path:
    """Where the converted models of a bundle are."""
    named = os.environ.get(WORK_VARIABLE)
    bundle = bundle.resolve()
    return Path(named).absolute() if named else bundle.with_name(bundle.name + WORK_SUFFIX)


def converted_models(bundle: Path) -> dict[str, ConvertedModel]:
    """The converted models of a bundle folder by the name of their graph in `ascend/` without its ending.

    Raises BackendError if one is missing, or was converted from another bundle than this one: the stamps have the
    sha256 of the manifest, which has those of all files.
    """
    work = work_folder(bundle)
    try:
        sha256 = hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).hexdigest()
    except OSError as error:
        raise BackendError(
            f"{bundle / MANIFEST_NAME} cannot be read ({error.strerror}); copy the whole bundle"
        ) from error
    graphs = sorted(path.stem for path in (bundle / "ascend").glob("*.mindir"))
    return {name: _converted(work, name, sha256) for name in graphs}


def _converted(work: Path, name: str, sha256: str) -> ConvertedModel:
    stamp = _read_stamp(work / f"{name}{STAMP_SUFFIX}")
    if stamp is None:
        raise BackendError(f"{work} has no converted {name}; run the bundle's deploy/convert.sh on this host first")
    if stamp["bundle"] != sha256:
        raise BackendError(f"{work} was converted from another bundle; run the bundle's deploy/convert.sh again")
    path = work / stamp["model"]
    if path.parent != work or not path.is_file():
        raise BackendError(f"{path} is missing; run the bundle's deploy/convert.sh again")
    return ConvertedModel(path, stamp["route"], stamp["soc"])


def _read_stamp(path: Path) -> dict[str, str] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(f"{path} cannot be read ({error}); run the bundle's deploy/convert.sh again") from error
    stamp = dict(line.partition("=")[::2] for line in lines)
    if stamp.keys() != _STAMP_KEYS:
        raise BackendError(f"{path} is no stamp of deploy/convert.sh; run the bundle's deploy/convert.sh again")
    return stamp
