"""Parameters of a MindIR file as weight references; a path inside a file can't leave the file's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coopdraw.graphs.errors import MindirError, WeightError
from coopdraw.graphs.mindir.codes import tensor_type
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight


@dataclass(frozen=True)
class TracedWeight(Weight):
    """A parameter of a weight-free trace: it has a name and a type, and gets its bytes from a checkpoint later."""

    name: str
    type: TensorType

    def read(self) -> np.ndarray:
        raise WeightError(f"weight {self.name} was traced without bytes; bind a checkpoint first")


def plain_name(name: str) -> str:
    """A name without the `<graph>:` prefix that MindSpore's exporter puts before it."""
    return name.rsplit(":", 1)[-1]


def parameter_weight(parameter: Any, path: Path | None) -> Weight:
    """The weight behind a parameter of the main graph; `path` is the `.mindir` file it was read from."""
    name = plain_name(parameter.name)
    wanted = tensor_type(parameter.dims, parameter.data_type)
    if parameter.HasField("external_data"):
        if path is None:
            raise MindirError(f"parameter {name} names a data file, but the model was not read from a file")
        return _external_weight(name, parameter.external_data, wanted, path)
    if path is None and not parameter.raw_data:
        return TracedWeight(name, wanted)
    if len(parameter.raw_data) != wanted.nbytes:
        raise MindirError(
            f"parameter {name} of {wanted} has {len(parameter.raw_data)} bytes instead of {wanted.nbytes}; "
            "export the file again"
        )
    return ArrayWeight(np.frombuffer(parameter.raw_data, wanted.dtype.numpy).reshape(wanted.shape))


def _external_weight(name: str, external: Any, wanted: TensorType, path: Path) -> FileWeight:
    folder = path.resolve().parent
    try:
        data = (folder / external.location).resolve()
        size = data.stat().st_size if data.is_relative_to(folder) and data.is_file() else None
    except (OSError, RuntimeError, ValueError) as error:
        # A name the system refuses: too long, a null byte, links in a circle.
        raise MindirError(f"parameter {name} names {external.location!r} as its data ({error}); restore it") from error
    if not data.is_relative_to(folder):
        raise MindirError(f"parameter {name} names data outside the folder of {path.name}; do not use this file")
    if size is None:
        raise MindirError(f"{path.name} needs {external.location!r}, which is missing; restore the file beside it")
    if external.length != wanted.nbytes:
        raise MindirError(
            f"parameter {name} of {wanted} needs {wanted.nbytes} bytes, but {external.length} are declared; "
            "export the file again"
        )
    if external.offset < 0:
        raise MindirError(f"parameter {name} starts at byte {external.offset} of its data; export the file again")
    if external.offset + external.length > size:
        raise MindirError(f"{external.location!r} ends before parameter {name} does; restore the file")
    return FileWeight(data, ((int(external.offset), int(external.length)),), wanted, wanted)
