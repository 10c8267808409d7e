"""Maps .safetensors files: which tensors they hold and where. Values are read only when a weight is."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from coopdraw.exporter.checkpoints.errors import CheckpointError
from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight

INDEX_SUFFIX = ".safetensors.index.json"

_DTYPES: Mapping[str, DType] = {
    "F64": DType.FLOAT64,
    "F32": DType.FLOAT32,
    "F16": DType.FLOAT16,
    "BF16": DType.BFLOAT16,
    "I64": DType.INT64,
    "I32": DType.INT32,
    "I8": DType.INT8,
    "U8": DType.UINT8,
    "BOOL": DType.BOOL,
}


def open_safetensors(path: Path) -> dict[str, FileWeight]:
    """Every tensor of one file, as stored. Raises WeightError for a truncated or corrupt file."""
    header, data_start = _read_header(path)
    weights = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _DTYPES:
            raise WeightError(
                f"{path.name}: tensor {name} has element type {entry['dtype']}; convert it to F32, F16 or BF16"
            )
        type = TensorType(_DTYPES[entry["dtype"]], tuple(entry["shape"]))
        begin, end = entry["data_offsets"]
        weights[name] = FileWeight(path, ((data_start + begin, end - begin),), type, type)
    return weights


def open_sharded_safetensors(index: Path) -> dict[str, FileWeight]:
    """Every tensor of a sharded checkpoint, given its `*.safetensors.index.json`; the shards lie beside it.

    Raises CheckpointError for a bad index and WeightError for a damaged shard.
    """
    shards = _read_weight_map(index)
    opened = {name: open_safetensors(index.parent / name) for name in sorted(set(shards.values()))}
    weights = {}
    for tensor, shard in shards.items():
        if tensor not in opened[shard]:
            raise CheckpointError(f"{index.name} says that {shard} holds {tensor}, but it does not; fetch it again")
        weights[tensor] = opened[shard][tensor]
    return weights


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    try:
        with safe_open(path, framework="numpy"):
            pass  # opening is the check: header, offsets, and that the file is as long as they say
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise WeightError(f"cannot read {path} as safetensors ({error}); fetch the file again") from error
    return header, 8 + length


def _read_weight_map(index: Path) -> dict[str, str]:
    try:
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        items = list(shards.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"cannot read the weight_map of {index} ({error!r}); fetch the file again") from error
    for tensor, shard in items:
        if not isinstance(shard, str) or shard in ("", ".", "..") or Path(shard).name != shard or "\\" in shard:
            raise CheckpointError(f"{index.name} puts {tensor} into {shard!r}, which is not a file beside the index")
    return dict(items)
