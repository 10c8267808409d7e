"""The numbers that the host gives to an Ascend kernel: a dataclass here, a C struct there."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, TypeAlias, get_args, get_origin, get_type_hints

from coopdraw.graphs.errors import GraphError

_CODES = {"int32_t": "i", "uint32_t": "I", "int64_t": "q", "uint64_t": "Q", "float": "f"}
"""C types that a field may have, of those that CANN's macros know, by their `struct` code."""


@dataclass(frozen=True)
class CType:
    """The C type of a field; `count` above 0 makes it an array."""

    name: str
    count: int = 0


Int32: TypeAlias = Annotated[int, CType("int32_t")]
UInt32: TypeAlias = Annotated[int, CType("uint32_t")]
Int64: TypeAlias = Annotated[int, CType("int64_t")]
UInt64: TypeAlias = Annotated[int, CType("uint64_t")]
Float32: TypeAlias = Annotated[float, CType("float")]


@dataclass(frozen=True)
class CField:
    """One member of the C struct."""

    name: str
    type: str
    count: int

    @property
    def declaration(self) -> str:
        """The member in a plain C++ struct (CANN 9)."""
        return f"{self.type} {self.name}{f'[{self.count}]' if self.count else ''};"

    @property
    def macro(self) -> str:
        """The member between BEGIN_TILING_DATA_DEF and END_TILING_DATA_DEF (CANN 8)."""
        if self.count:
            return f"TILING_DATA_FIELD_DEF_ARR({self.type}, {self.count}, {self.name});"
        return f"TILING_DATA_FIELD_DEF({self.type}, {self.name});"

    @property
    def code(self) -> str:
        """The member for `struct`."""
        return f"{self.count or ''}{_CODES[self.type]}"


@dataclass(frozen=True)
class Tiling:
    """Base of every operator's tiling: the fields of a frozen subclass, in order, are the members of the C struct.

    Fields are annotated with `Int32`, `UInt32`, `Int64`, `UInt64`, `Float32`, or
    `Annotated[tuple[float, ...], CType("float", 8)]` for an array. Members must lie as they come, without gaps, and
    fill a multiple of 8 bytes: widest first, then padding fields. CANN asks for natural alignment
    (asc-devkit:docs/zh/api/Utils-API/Tiling数据结构注册/TilingData结构定义.md).
    """

    @classmethod
    def members(cls) -> tuple[CField, ...]:
        """The members of the C struct; raises GraphError for a struct that C++ would lay out with gaps."""
        return _members(cls)

    def encode(self) -> bytes:
        """The struct as the device reads it: little-endian, without gaps."""
        members = self.members()
        values: list[int | float] = []
        for member in members:
            value = getattr(self, member.name)
            if member.count and len(value) != member.count:
                raise GraphError(f"{member.name} has {len(value)} elements, but the struct has room for {member.count}")
            values.extend(value if member.count else (value,))
        return struct.pack("<" + "".join(member.code for member in members), *values)


def _members(cls: type[Tiling]) -> tuple[CField, ...]:
    members, offset = [], 0
    for name, hint in get_type_hints(cls, include_extras=True).items():
        c_types = [extra for extra in get_args(hint) if isinstance(extra, CType)]
        if get_origin(hint) is not Annotated or not c_types:
            raise GraphError(
                f"{cls.__name__}.{name} has no C type; annotate it with one of coopdraw.kernels.ascend.tiling"
            )
        member = CField(name, c_types[0].name, c_types[0].count)
        if offset % struct.calcsize(f"<{_CODES[member.type]}"):
            raise GraphError(f"{cls.__name__}.{name} is not aligned; put wider fields first")
        offset += struct.calcsize("<" + member.code)
        members.append(member)
    if offset % 8:
        raise GraphError(f"{cls.__name__} has {offset} bytes, not a multiple of 8; add a padding field")
    return tuple(members)


@dataclass(frozen=True)
class Launch:
    """How a kernel is started for one problem on one SoC.

    `cores` is the block dimension, `key` the tiling key, `workspace_bytes` the kernel's own part of the workspace (the
    library's part is added on the host). `memory` says how many bytes of each on-chip buffer ("ub", "l1", "l0a", "l0b",
    "l0c") a core uses, `notes` what a reader of a report should know, one sentence each.
    """

    tiling: Tiling
    cores: int
    key: int
    workspace_bytes: int
    memory: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", MappingProxyType(dict(self.memory)))
