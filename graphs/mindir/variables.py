"""The data files beside a `.mindir`: one tensor after the other, equal bytes once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coopdraw.graphs.weights import Weight

ALIGNMENT = 64
"""MindSpore's loader wants tensors at multiples of 64 bytes."""
FILE_LIMIT = 1 << 30
"""MindSpore's exporter starts another file after 1 GiB."""
_HEADER = b"\x01" + bytes(ALIGNMENT - 1)  # first byte: little-endian


@dataclass(frozen=True)
class Placement:
    """Where a weight's bytes went: file relative to the `.mindir`'s folder, offset and length in bytes, and hash."""

    location: str
    offset: int
    length: int
    sha256: str


def write_variables(weights: Mapping[str, Weight], parent: Path, folder: str) -> dict[str, Placement]:
    """Writes every weight in order of name under `parent/folder` and says where each one is; no weights, no folder."""
    if not weights:
        return {}
    (parent / folder).mkdir()
    written: dict[str, Placement] = {}
    placements: dict[str, Placement] = {}
    number, stream, offset = -1, None, FILE_LIMIT
    try:
        for name in sorted(weights):
            data = np.ascontiguousarray(weights[name].read())
            raw = data.reshape(-1).view(np.uint8).data
            digest = hashlib.sha256(raw).hexdigest()
            if digest not in written:
                if stream is None or offset + len(raw) > FILE_LIMIT:
                    if stream is not None:
                        stream.close()
                    number += 1
                    stream, offset = _start(parent / folder / f"data_{number}"), len(_HEADER)
                stream.write(raw)
                stream.write(bytes(-len(raw) % ALIGNMENT))
                written[digest] = Placement(f"{folder}/data_{number}", offset, len(raw), digest)
                offset += len(raw) + -len(raw) % ALIGNMENT
            placements[name] = written[digest]
            del data, raw
    finally:
        if stream is not None:
            stream.close()
    return placements


def _start(path: Path) -> BinaryIO:
    stream = path.open("wb")
    stream.write(_HEADER)
    return stream
