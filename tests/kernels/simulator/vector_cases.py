"""Runs one vector instruction on an image of the unified buffer, and says in NumPy where its elements are."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from coopdraw.kernels.simulator.build import Program, build_kernel
from coopdraw.kernels.simulator.simulation import Synchronisation, simulate
from coopdraw.kernels.simulator.soc import SOCS

KERNELS = Path(__file__).parent / "kernels"
IMAGE = 16384  # bytes
DST, SRC0, SRC1 = 0, 4096, 8192


@dataclass(frozen=True)
class Case:
    """The fields of VectorCase in kernels/vector_case.h, in its order."""

    mask: tuple[int, int] = (0, 0)
    form: int = 0
    count: int = 0
    repeats: int = 1
    type: int = 0
    operation: int = 0
    mode: int = 0
    dst: int = DST
    src0: int = SRC0
    src1: int = SRC1
    dst_elements: int = 0
    dst_block: int = 1
    src0_block: int = 1
    src1_block: int = 1
    dst_repeat: int = 8
    src0_repeat: int = 8
    src1_repeat: int = 8
    counter: int = 0
    image_bytes: int = IMAGE
    written_bytes: int = IMAGE
    returned_bytes: int = IMAGE  # less than the image where the call leaves a work tensor undefined
    scalar: float = 0.0
    extra: tuple[int, int, int, int] = (0, 0, 0, 0)

    def packed(self) -> bytes:
        kinds = {"mask": ctypes.c_uint64 * 2, "scalar": ctypes.c_float, "extra": ctypes.c_int32 * 4}
        layout = [(field.name, kinds.get(field.name, ctypes.c_int32)) for field in fields(self)]
        structure = type("VectorCase", (ctypes.Structure,), {"_fields_": layout})
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["mask"] = (ctypes.c_uint64 * 2)(*self.mask)
        values["extra"] = (ctypes.c_int32 * 4)(*self.extra)
        return bytes(structure(**values))


@cache
def program(name: str, soc: str = "ascend910b") -> Program:
    return build_kernel(
        KERNELS / f"{name}.cpp",
        name,
        2,
        SOCS[soc],
        tiling='#include "vector_case.h"',
        tiling_struct="VectorCase",
        include_folders=[KERNELS],
    )


def run(
    name: str,
    case: Case,
    image: np.ndarray,
    key: int = 0,
    soc: str = "ascend910b",
    synchronisation: Synchronisation = "strict",
) -> np.ndarray:
    """The image after the instruction."""
    outputs = [((case.returned_bytes,), np.uint8)]
    result = simulate(
        program(name, soc), [image], outputs, case.packed(), key, synchronisation=synchronisation, timeout=60
    )
    return result.outputs[0]


def image_of(values: dict[int, np.ndarray], seed: int = 0) -> np.ndarray:
    """An image of random bytes with the arrays at their offsets."""
    image = np.random.default_rng(seed).integers(0, 256, IMAGE, np.uint8)
    for offset, array in values.items():
        data = np.frombuffer(array.tobytes(), np.uint8)
        image[offset : offset + data.size] = data
    return image


def view(image: np.ndarray, offset: int, dtype: np.typing.DTypeLike, count: int) -> np.ndarray:
    return np.frombuffer(image.tobytes(), dtype, count, offset)


def lanes(case: Case, per_repeat: int) -> Iterator[tuple[int, int]]:
    """(repeat, element) of every element that takes part, in the device's order."""
    if case.form == 0 or case.counter:
        yield from (divmod(index, per_repeat) for index in range(case.count))
        return
    if case.form == 1:
        active = range(min(case.mask[0], per_repeat))
    else:
        active = [i for i in range(per_repeat) if case.mask[i // 64] >> (i % 64) & 1]
    yield from ((repeat, element) for repeat in range(case.repeats) for element in active)


def address(start: int, repeat: int, element: int, itemsize: int, block: int, repeat_stride: int) -> int:
    """The byte of an element: 32-byte blocks `block` apart, repeats `repeat_stride` blocks apart."""
    per_block = 32 // itemsize
    return start + (repeat * repeat_stride + element // per_block * block) * 32 + element % per_block * itemsize


def get(image: np.ndarray, at: int, dtype: np.typing.DTypeLike) -> np.generic:
    return image[at : at + np.dtype(dtype).itemsize].view(dtype)[0]


def put(image: np.ndarray, at: int, value: np.generic) -> None:
    image[at : at + value.dtype.itemsize] = np.frombuffer(value.tobytes(), np.uint8)
