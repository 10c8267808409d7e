"""Tilings as C structs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated

import pytest

from coopdraw.graphs.errors import GraphError
from coopdraw.kernels.ascend.tiling import CType, Float32, Int32, Int64, Tiling, UInt32


@dataclass(frozen=True)
class Whole(Tiling):
    total: Int64
    tile: UInt32
    step: Int32
    weights: Annotated[tuple[float, ...], CType("float", 3)]
    epsilon: Float32


@dataclass(frozen=True)
class Gap(Tiling):
    tile: Int32
    total: Int64


@dataclass(frozen=True)
class Short(Tiling):
    total: Int64
    tile: Int32


@dataclass(frozen=True)
class Untyped(Tiling):
    total: int


def test_fields_are_encoded_in_order() -> None:
    tiling = Whole(2**40, 7, -1, (0.5, 1.5, -2.0), 1e-5)
    assert tiling.encode() == struct.pack("<qIi3ff", 2**40, 7, -1, 0.5, 1.5, -2.0, 1e-5)


def test_fields_are_declared_in_both_forms() -> None:
    members = Whole.members()
    assert [member.declaration for member in members][2:4] == ["int32_t step;", "float weights[3];"]
    assert members[0].macro == "TILING_DATA_FIELD_DEF(int64_t, total);"
    assert members[3].macro == "TILING_DATA_FIELD_DEF_ARR(float, 3, weights);"


@pytest.mark.parametrize(
    ("tiling", "part"),
    [
        (Gap(1, 2), "Gap.total is not aligned"),
        (Short(1, 2), "Short has 12 bytes, not a multiple of 8"),
        (Untyped(1), "Untyped.total has no C type"),
        (Whole(1, 1, 1, (0.0,), 0.0), "weights has 1 elements"),
    ],
)
def test_structs_that_cpp_would_lay_out_otherwise(tiling: Tiling, part: str) -> None:
    with pytest.raises(GraphError, match=part):
        tiling.encode()
