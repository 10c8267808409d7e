"""Tiling structs of operator sources, and values for them: from C++ text to the bytes that a kernel reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError

_TYPES = {
    "bool": "?",
    "char": "i1",
    "double": "<f8",
    "float": "<f4",
    "int": "<i4",
    **{
        f"{sign}int{bits}_t": f"<{kind}{bits // 8}"
        for sign, kind in (("", "i"), ("u", "u"))
        for bits in (8, 16, 32, 64)
    },
}
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MACRO_STRUCT = re.compile(r"BEGIN_TILING_DATA_DEF\(\s*(\w+)\s*\)\s*;?(.*?)END_TILING_DATA_DEF", re.DOTALL)
_MACRO_FIELD = re.compile(
    r"TILING_DATA_FIELD_DEF(?P<form>_ARR|_STRUCT)?\(\s*(?P<type>\w+)\s*,\s*(?:(?P<count>\d+)\s*,\s*)?(?P<name>\w+)\s*\)"
)
_PLAIN_STRUCT = re.compile(r"struct\s+(?:alignas\(\d+\)\s*)?(\w+)\s*\{([^{}]*)\}\s*;")
_PLAIN_FIELD = re.compile(r"^\s*(?P<type>[\w:]+)\s+(?P<names>[^();]+)$")
_PLAIN_NAME = re.compile(r"(?P<name>\w+)\s*(?:\[\s*(?P<count>\d+)\s*\])?\s*(?:=.*)?$")


@dataclass(frozen=True)
class _Field:
    name: str
    type: str
    count: int


class TilingStructs:
    """The structs that some sources define, by macros (CANN 8) or plainly (CANN 9)."""

    def __init__(self, sources: Sequence[str]) -> None:
        texts = [_COMMENTS.sub("", source) for source in sources]
        self._structs = {
            name: fields for text in texts for name, fields in (*_macro_structs(text), *_plain_structs(text)) if fields
        }

    def names(self) -> tuple[str, ...]:
        return tuple(self._structs)

    def pack(self, struct: str, values: Mapping[str, Any]) -> bytes:
        """The struct as C++ lays it out, little-endian; raises KernelRequestError for fields that lack or don't fit."""
        dtype = self._dtype(struct)
        record = np.zeros((), dtype)
        self._fill(record, struct, values)
        return record.tobytes()

    def _fill(self, record: np.ndarray, struct: str, values: Mapping[str, Any]) -> None:
        fields = {field.name: field for field in self._fields(struct)}
        unknown, missing = sorted(set(values) - set(fields)), [name for name in fields if name not in values]
        if unknown:
            raise KernelRequestError(f"{struct} has no field {unknown[0]}; it has {', '.join(fields)}")
        if missing:
            raise KernelRequestError(f"the tiling lacks {', '.join(missing)} of {struct}; add what lacks, 0 if unused")
        for name, field in fields.items():
            if field.type not in _TYPES:
                self._fill(record[name], field.type, values[name])
                continue
            record[name] = _fitting(struct, field, values[name])

    def _fields(self, struct: str) -> tuple[_Field, ...]:
        fields = self._structs.get(struct)
        if fields is None:
            known = ", ".join(self._structs) or "none"
            raise KernelRequestError(f"there is no tiling struct {struct}; those found are {known}")
        return fields

    def _dtype(self, struct: str) -> np.dtype:
        members: list[Any] = []
        for field in self._fields(struct):
            type = _TYPES.get(field.type) or self._dtype(field.type)
            members.append((field.name, type, (field.count,)) if field.count else (field.name, type))
        return np.dtype(members, align=True)


def _fitting(struct: str, field: _Field, value: Any) -> np.ndarray:
    """The value as an array of the field's type; raises KernelRequestError if it doesn't fit."""
    dtype = np.dtype(_TYPES[field.type])
    try:
        array = np.asarray(value)
        whole = array.dtype.kind in "biu" if dtype.kind in "iub" else array.dtype.kind in "biuf"
        if whole and array.shape == ((field.count,) if field.count else ()):
            converted = array.astype(dtype)
            if dtype.kind == "f" or np.array_equal(converted, array):
                return converted
    except (TypeError, ValueError, OverflowError):
        pass  # lists of unequal length, numbers beyond 64 bits
    count = f"[{field.count}]" if field.count else ""
    raise KernelRequestError(f"{struct}.{field.name} is {field.type}{count}, which {value!r} doesn't fit; correct it")


def _macro_structs(text: str) -> list[tuple[str, tuple[_Field, ...]]]:
    return [
        (name, tuple(_Field(m["name"], m["type"], int(m["count"] or 0)) for m in _MACRO_FIELD.finditer(body)))
        for name, body in _MACRO_STRUCT.findall(text)
    ]


def _plain_structs(text: str) -> list[tuple[str, tuple[_Field, ...]]]:
    """Structs of numbers and of each other; a struct with anything else in it has no fields here."""
    return [(name, _plain_fields(body)) for name, body in _PLAIN_STRUCT.findall(text)]


def _plain_fields(body: str) -> tuple[_Field, ...]:
    fields = []
    for line in filter(str.strip, body.split(";")):
        declared = _PLAIN_FIELD.match(line)
        if declared is None:
            return ()
        for part in declared["names"].split(","):
            named = _PLAIN_NAME.match(part.strip())
            if named is None:
                return ()
            fields.append(_Field(named["name"], declared["type"].rpartition(":")[2], int(named["count"] or 0)))
    return tuple(fields)
