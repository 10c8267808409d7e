"""Maps MindSpore .ckpt files: which tensors they hold and where. Values are read only when a weight is.

The format is the protobuf message `Checkpoint` of mindspore:mindspore/ccsrc/utils/checkpoint.proto, one `value` after
the other. A tensor over 512 MB is stored as several values of the same tag, one behind the other, each with the dims of
the whole tensor (mindspore:python/mindspore/train/serialization.py, `_write_parameter_bytes_data`).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import FileWeight

_DTYPES: Mapping[str, DType] = {
    "Float64": DType.FLOAT64,
    "Float32": DType.FLOAT32,
    "Float16": DType.FLOAT16,
    "BFloat16": DType.BFLOAT16,
    "Int64": DType.INT64,
    "Int32": DType.INT32,
    "Int8": DType.INT8,
    "UInt8": DType.UINT8,
    "Bool": DType.BOOL,
}
_TEXT = "str"
_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_LENGTH = len(_CHECKSUM_MARK) + 10

_VARINT, _BYTES = 0, 2
_MAXIMUM_TENSORS = 100_000
_MAXIMUM_RANK = 8
_MAXIMUM_NAME = 1024


class _Malformed(Exception):  # noqa: N818 (never leaves this file)
    """Why the bytes are no checkpoint."""


@dataclass(frozen=True)
class _Entry:
    """One `value`: all of a tensor, or a part of a large one."""

    tag: str
    dims: tuple[int, ...]
    element_type: str
    segment: tuple[int, int]


def open_mindspore_checkpoint(path: Path) -> dict[str, FileWeight]:
    """Every tensor of one file, as stored; texts (training state) are left out.

    Raises WeightError for a truncated, corrupt or encrypted file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            entries = list(_entries(content))
    except (OSError, ValueError) as error:
        raise WeightError(f"cannot map {path} ({error}); restore the file") from error
    except _Malformed as error:
        raise WeightError(
            f"{path} is no MindSpore checkpoint, or is damaged or encrypted ({error}); fetch it again or decrypt it"
        ) from None
    weights: dict[str, FileWeight] = {}
    for parts in _by_tensor(entries):
        if parts[0].tag in weights:
            raise WeightError(f"{path.name} holds tensor {parts[0].tag} twice; fetch the file again")
        if parts[0].element_type != _TEXT:
            weights[parts[0].tag] = _weight(path, parts)
    return weights


def _by_tensor(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    parts: list[_Entry] = []
    for entry in entries:
        if parts and parts[0].tag != entry.tag:
            yield parts
            parts = []
        parts.append(entry)
    if parts:
        yield parts


def _weight(path: Path, parts: list[_Entry]) -> FileWeight:
    tag, dims, element_type = parts[0].tag, parts[0].dims, parts[0].element_type
    if any((part.dims, part.element_type) != (dims, element_type) for part in parts):
        raise WeightError(f"{path.name}: the parts of tensor {tag} differ in type; fetch the file again")
    if element_type not in _DTYPES:
        raise WeightError(
            f"{path.name}: tensor {tag} has element type {element_type}; convert it to Float32 or Float16"
        )
    # MindSpore writes a scalar's shape as [0].
    type = TensorType(_DTYPES[element_type], () if dims == (0,) else dims)
    segments = tuple(part.segment for part in parts)
    length = sum(length for _, length in segments)
    if length != type.nbytes:
        raise WeightError(f"{path.name}: tensor {tag} of {type} has {length} bytes; fetch the file again")
    return FileWeight(path, segments, type, type)


def _entries(content: mmap.mmap) -> Iterator[_Entry]:
    end = len(content)
    if content[max(end - _CHECKSUM_LENGTH, 0) :].startswith(_CHECKSUM_MARK):
        end -= _CHECKSUM_LENGTH
    position, count = 0, 0
    while position < end:
        count += 1
        if count > _MAXIMUM_TENSORS:
            raise _Malformed(f"more than {_MAXIMUM_TENSORS} tensors")
        field, begin, position = _field(content, position, end)
        if field != (1, _BYTES):
            raise _Malformed(f"unexpected field {field[0]} at byte {begin}")
        yield _entry(content, begin, position)


def _entry(content: mmap.mmap, position: int, end: int) -> _Entry:
    tag: str | None = None
    tensor: tuple[int, int] | None = None
    while position < end:
        field, begin, position = _field(content, position, end)
        if field == (1, _BYTES) and tag is None:
            tag = _text(content, begin, position)
        elif field == (2, _BYTES) and tensor is None:
            tensor = (begin, position)
        else:
            raise _Malformed(f"unexpected field {field[0]} in the value at byte {begin}")
    if tag is None or tensor is None:
        raise _Malformed(f"a value without {'tag' if tag is None else 'tensor'} at byte {end}")
    return _tensor(content, tag, *tensor)


def _tensor(content: mmap.mmap, tag: str, position: int, end: int) -> _Entry:
    dims: list[int] = []
    element_type: str | None = None
    segment: tuple[int, int] | None = None
    while position < end:
        field, begin, position = _field(content, position, end)
        if field == (1, _VARINT) and len(dims) < _MAXIMUM_RANK:
            dims.append(_varint(content, begin, position)[0])
        elif field == (2, _BYTES) and element_type is None:
            element_type = _text(content, begin, position)
        elif field == (3, _BYTES) and segment is None:
            segment = (begin, position - begin)
        else:
            raise _Malformed(f"unexpected field {field[0]} in tensor {tag}")
    if element_type is None or segment is None:
        raise _Malformed(f"tensor {tag} has no {'type' if element_type is None else 'content'}")
    return _Entry(tag, tuple(dims), element_type, segment)


def _field(content: mmap.mmap, position: int, end: int) -> tuple[tuple[int, int], int, int]:
    """(number, wire type) of the field at `position`, where its payload begins, and where it ends."""
    key, begin = _varint(content, position, end)
    number, wire_type = key >> 3, key & 7
    if wire_type == _VARINT:
        return (number, wire_type), begin, _varint(content, begin, end)[1]
    if wire_type != _BYTES:
        raise _Malformed(f"wire type {wire_type} at byte {position}")
    length, begin = _varint(content, begin, end)
    if length > end - begin:
        raise _Malformed(f"the field at byte {position} is {length} bytes long, but only {end - begin} follow")
    return (number, wire_type), begin, begin + length


def _varint(content: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """The number at `position` and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= end:
            raise _Malformed(f"it ends inside a number at byte {position}")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed(f"a number of more than 64 bits at byte {position}")


def _text(content: mmap.mmap, begin: int, end: int) -> str:
    if end - begin > _MAXIMUM_NAME:
        raise _Malformed(f"a name of {end - begin} bytes at byte {begin}")
    try:
        return content[begin:end].decode("utf-8")
    except UnicodeDecodeError:
        raise _Malformed(f"a name at byte {begin} is not UTF-8") from None
