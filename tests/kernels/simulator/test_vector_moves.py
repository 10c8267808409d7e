"""Filling, comparing, selecting, gathering, transposing and copying, element for element."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels.simulator.vector_cases import DST, IMAGE, SRC0, SRC1, Case, address, get, image_of, lanes, put, run, view

from coopdraw.kernels.simulator.simulation import SimulationError

KERNEL = "vector_moves"
TYPES = {0: np.float16, 1: np.float32, 2: np.int16, 3: np.int32}
BITS = 12288  # where selection bits and counts are
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COMPARISONS = [np.less, np.greater, np.equal, np.less_equal, np.greater_equal, np.not_equal]

Array = np.ndarray[Any, np.dtype[Any]]


def values(dtype: Any, seed: int, count: int = 1024) -> Array:
    return np.random.default_rng(seed).integers(-9, 9, count).astype(dtype)


@st.composite
def masked(draw: st.DrawFn, kind: int, repeats: int = 4) -> Case:
    per_repeat = 256 // np.dtype(TYPES[kind]).itemsize
    words = draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 2**64 - 1)) if per_repeat == 128 else 0
    block = draw(st.integers(1, 2))
    return Case(
        form=2, mask=words, type=kind, repeats=draw(st.integers(0, repeats)), dst_block=block,
        dst_repeat=draw(st.integers(8 * block, 20)), src0_block=draw(st.integers(1, 2)),
        src0_repeat=draw(st.integers(0, 20)), src1_repeat=draw(st.integers(0, 20)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
@FEW
@given(data=st.data())
def test_duplicate(kind: int, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[kind])
    case = replace(data.draw(masked(kind)), operation=0, scalar=3.0)
    if data.draw(st.booleans()):
        case = replace(case, form=0, count=data.draw(st.integers(0, 500)), dst_block=1, dst_repeat=8)
    image = image_of({})
    wanted = image.copy()
    for repeat, element in lanes(case, 256 // dtype.itemsize):
        put(wanted, address(DST, repeat, element, dtype.itemsize, case.dst_block, case.dst_repeat), dtype.type(3))
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


@pytest.mark.parametrize("kind", TYPES)
@FEW
@given(repeats=st.integers(0, 5), block=st.integers(1, 3), stride=st.integers(24, 40))
def test_brcb(kind: int, repeats: int, block: int, stride: int) -> None:
    dtype = np.dtype(TYPES[kind])
    source = values(dtype, 1)
    image = image_of({BITS: source[:512]})
    wanted = image.copy()
    case = Case(type=kind, operation=1, repeats=repeats, dst_block=block, dst_repeat=stride, src0=BITS)
    for i in range(8 * repeats):
        start = DST + (i // 8 * stride + i % 8 * block) * 32
        wanted[start : start + 32] = np.frombuffer(source[i : i + 1].tobytes() * (32 // dtype.itemsize), np.uint8)
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


@pytest.mark.parametrize("kind", TYPES)
@FEW
@given(data=st.data())
def test_create_vec_index(kind: int, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[kind])
    case = replace(data.draw(masked(kind)), operation=2, scalar=5.0)
    if data.draw(st.booleans()):
        case = replace(case, form=0, count=data.draw(st.integers(0, 500)), dst_block=1, dst_repeat=8)
    image = image_of({})
    wanted = image.copy()
    per_repeat = 256 // dtype.itemsize
    for repeat, element in lanes(case, per_repeat):
        at = address(DST, repeat, element, dtype.itemsize, case.dst_block, case.dst_repeat)
        put(wanted, at, dtype.type(5 + repeat * per_repeat + element))
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


@pytest.mark.parametrize("kind", TYPES)
@FEW
@given(data=st.data())
def test_copy(kind: int, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[kind])
    case = replace(data.draw(masked(kind)), operation=3)
    image = image_of({})
    wanted = image.copy()
    for repeat, element in lanes(case, 256 // dtype.itemsize):
        start = address(SRC0, repeat, element, dtype.itemsize, case.src0_block, case.src0_repeat)
        to = address(DST, repeat, element, dtype.itemsize, case.dst_block, case.dst_repeat)
        wanted[to : to + dtype.itemsize] = image[start : start + dtype.itemsize]
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("operation", [10, 11, 12, 13, 14])
@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
def test_comparisons(kind: int, operation: int, mode: int) -> None:
    dtype = np.dtype(TYPES[kind])
    per_repeat = 256 // dtype.itemsize
    left, right = values(dtype, 1), values(dtype, 2)
    image = image_of({SRC0: left, SRC1: right})
    repeats = 1 if operation == 14 else 3
    case = Case(type=kind, operation=operation, mode=mode, count=repeats * per_repeat, repeats=repeats, scalar=2.0,
                mask=(per_repeat, 0))  # fmt: skip
    other = dtype.type(2) if operation in (12, 13) else right[: case.count]
    wanted = np.packbits(COMPARISONS[mode](left[: case.count], other), bitorder="little")
    np.testing.assert_array_equal(run(KERNEL, case, image)[: wanted.size], wanted)


def test_comparison_of_integers() -> None:
    left, right = values(np.int32, 1), values(np.int32, 2)
    case = Case(type=3, operation=10, mode=2, count=128)
    after = run(KERNEL, case, image_of({SRC0: left, SRC1: right}))
    np.testing.assert_array_equal(after[:16], np.packbits(left[:128] == right[:128], bitorder="little"))


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@pytest.mark.parametrize(
    ("operation", "mode"), [(20, 0), (20, 2), (21, 0), (21, 2), (22, 1), (23, 1), (24, 0)],
    ids=["bits", "tensor", "bits_strided", "tensor_strided", "scalar", "scalar_strided", "register"],
)  # fmt: skip
@FEW
@given(data=st.data())
def test_select(kind: int, operation: int, mode: int, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[kind])
    per_repeat = 256 // dtype.itemsize
    case = replace(data.draw(masked(kind)), operation=operation, mode=mode, scalar=7.0, extra=(BITS, 0, 0, 0))
    if operation in (20, 22):
        case = Case(type=kind, operation=operation, mode=mode, scalar=7.0, count=data.draw(st.integers(0, 500)),
                    extra=(BITS, 0, 0, 0))  # fmt: skip
    image = image_of({SRC0: values(dtype, 1), SRC1: values(dtype, 2)}, seed=data.draw(st.integers(0, 9)))
    bits = np.unpackbits(image[BITS : BITS + 128], bitorder="little")
    wanted = image.copy()
    for repeat, element in lanes(case, per_repeat):
        bit = element + (0 if mode == 0 else repeat * per_repeat)
        start, block, stride = ((case.src0, case.src0_block, case.src0_repeat) if bits[bit]
                                else (case.src1, case.src1_block, case.src1_repeat))  # fmt: skip
        value = get(image, address(start, repeat, element, dtype.itemsize, block, stride), dtype)
        to = address(DST, repeat, element, dtype.itemsize, case.dst_block, case.dst_repeat)
        put(wanted, to, value if bits[bit] or mode != 1 else dtype.type(7))
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@FEW
@given(data=st.data())
def test_gather(kind: int, data: st.DataObject) -> None:
    dtype = np.dtype(TYPES[kind])
    offsets = (np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 900, 1024) * dtype.itemsize).astype(
        np.uint32
    )
    base = dtype.itemsize * data.draw(st.integers(0, 3))
    case = replace(data.draw(masked(kind)), operation=31, dst_block=1, extra=(base, 0, 0, 0))
    if data.draw(st.booleans()):
        case = replace(case, form=0, operation=30, count=data.draw(st.integers(0, 500)), dst_repeat=8)
    source = values(dtype, 3)
    image = image_of({SRC0: source, SRC1: offsets})
    wanted = image.copy()
    per_repeat = 256 // dtype.itemsize
    for repeat, element in lanes(case, per_repeat):
        index = (base + int(offsets[repeat * per_repeat + element])) // dtype.itemsize
        put(wanted, address(DST, repeat, element, dtype.itemsize, 1, case.dst_repeat), source[index])
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


def test_gatherb_and_scatter() -> None:
    generator = np.random.default_rng(1)
    blocks = (generator.integers(0, 100, 24) * 32).astype(np.uint32)
    image = image_of({SRC1: blocks})
    after = run(KERNEL, Case(operation=34, repeats=3, dst_block=0, dst_repeat=8), image)
    wanted = np.concatenate([image[SRC0 + b : SRC0 + b + 32] for b in blocks])
    np.testing.assert_array_equal(after[: wanted.size], wanted)
    places = (generator.permutation(500) * 4).astype(np.uint32)
    source = values(np.float32, 1, 500)
    image = image_of({SRC0: source, SRC1: places})
    after = run(KERNEL, Case(type=1, operation=35, count=500), image, soc="ascend310p")
    np.testing.assert_array_equal(after[DST:].view(np.float32)[places // 4], source)


def pattern_bits(pattern: int, count: int) -> Array:
    index = np.arange(count)
    if pattern <= 2:
        return index % 2 == pattern - 1
    return np.ones(count, bool) if pattern == 7 else index % 4 == pattern - 3


GATHER_MASKS = [
    *((soc, counted, pattern) for soc, counted in [("ascend910b", 0), ("ascend910b", 70)] for pattern in range(8)),
    *(("ascend310p", 150, pattern) for pattern in range(7)),
]


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@pytest.mark.parametrize(("soc", "counted", "pattern"), GATHER_MASKS)
def test_gather_mask(kind: int, soc: str, counted: int, pattern: int) -> None:
    dtype = np.dtype(TYPES[kind])
    per_repeat = 256 // dtype.itemsize
    source = values(dtype, 1)
    image = image_of({SRC0: source})
    repeats, stride = 3, 10
    case = Case(type=kind, operation=33 if pattern == 0 else 32, mode=pattern, repeats=repeats, src0_repeat=stride,
                src1_repeat=1, mask=(counted, 0), extra=(0, int(counted > 0), BITS, 0))  # fmt: skip
    length = counted or per_repeat
    if counted and soc == "ascend310p":  # the count is of all repeats
        repeats, length = -(-counted // per_repeat), per_repeat
    kept = []
    for repeat in range(repeats):
        size = min(length, counted - repeat * length) if counted and soc == "ascend310p" else length
        row = source[repeat * stride * 32 // dtype.itemsize :][:size]
        own = np.unpackbits(image[SRC1 + 32 * repeat :][:64], bitorder="little")[:size].astype(bool)
        kept.append(row[own if pattern == 0 else pattern_bits(pattern, size)])
    wanted = np.concatenate(kept)
    after = run(KERNEL, case, image, soc=soc)
    assert view(after, BITS, np.int32, 1)[0] == len(wanted)
    np.testing.assert_array_equal(view(after, DST, dtype, len(wanted)), wanted)


@pytest.mark.parametrize(("kind", "itemsize"), [(0, 2), (1, 4), (2, 1)])
@pytest.mark.parametrize("high", [0, 1])
def test_trans_data_to_5hd(kind: int, itemsize: int, high: int) -> None:
    dtype = np.dtype(f"u{itemsize}")
    image = image_of({})
    case = Case(
        type=kind, operation=40, repeats=2, dst_repeat=16, src0_repeat=1, src0_block=2, extra=(high, 1 - high, 0, 0)
    )
    wanted = image.copy()
    for repeat in range(2):
        rows = [view(image, SRC0 + (2 * i + repeat) * 32, dtype, 32 // itemsize) for i in range(16)]
        matrix = np.stack(rows)
        if itemsize == 1:  # half of each block, to half of each block
            matrix = matrix[:, 16 * (1 - high) :][:, :16]
            for i in range(16):
                start = DST + (16 * repeat + i) * 32 + 16 * high
                wanted[start : start + 16] = matrix[:, i]
        else:
            result = np.frombuffer(np.ascontiguousarray(matrix.T).tobytes(), np.uint8)
            wanted[DST + 512 * repeat :][: result.size] = result
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


def test_transposes() -> None:
    matrix = values(np.float16, 1, 256).reshape(16, 16)
    after = run(KERNEL, Case(type=0, operation=41), image_of({SRC0: matrix}))
    np.testing.assert_array_equal(view(after, DST, np.float16, 256).reshape(16, 16), matrix.T)
    tensor = values(np.float32, 2, 2 * 3 * 16).reshape(2, 3, 4, 4)
    case = Case(type=1, operation=42, mode=11, extra=(2, 3, 4, 4), returned_bytes=SRC1)
    after = run(KERNEL, case, image_of({SRC0: tensor}))
    np.testing.assert_array_equal(view(after, DST, np.float32, 96).reshape(2, 4, 4, 3), tensor.transpose(0, 2, 3, 1))
    last = tensor.transpose(0, 2, 3, 1).copy()
    after = run(KERNEL, replace(case, mode=12), image_of({SRC0: last}))
    np.testing.assert_array_equal(view(after, DST, np.float32, 96).reshape(2, 3, 4, 4), tensor)


def test_undefined_elements_stay_undefined() -> None:
    # GatherMask and Select take them, and a copy to global memory finds those that were chosen.
    case = Case(type=1, operation=32, mode=1, repeats=16, src0=SRC0, written_bytes=6144, returned_bytes=1024,
                extra=(0, 0, BITS, 0))  # fmt: skip
    image = image_of({SRC0: values(np.float32, 1)})
    after = run(KERNEL, case, image[:6144])
    np.testing.assert_array_equal(after.view(np.float32), view(image, SRC0, np.float32, 512)[::2])
    with pytest.raises(SimulationError, match="nothing wrote byte 1024"):
        run(KERNEL, replace(case, returned_bytes=1056), image[:6144])


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        pytest.param(
            Case(type=1, operation=10, count=65), "argument", "256 bytes", id="comparison_of_part_of_a_repeat"
        ),
        pytest.param(
            Case(type=3, operation=10, mode=0, count=64), "argument", "CMPMODE::EQ", id="comparison_of_integers"
        ),
        pytest.param(
            Case(type=1, operation=20, mode=1, count=64, extra=(BITS, 0, 0, 0)), "argument", "scalar", id="select_mode"
        ),
        pytest.param(
            Case(type=1, operation=22, mode=2, count=64, extra=(BITS, 0, 0, 0)), "argument", "SCALAR", id="scalar_mode"
        ),
        pytest.param(
            Case(type=1, operation=20, mode=2, count=64, extra=(BITS + 4, 0, 0, 0)), "alignment", "32", id="bits"
        ),
        pytest.param(Case(type=1, operation=1, repeats=1, dst=SRC0), "hazard", "share memory", id="brcb_in_place"),
        pytest.param(Case(type=1, operation=1, repeats=1, dst_block=0), "argument", "block stride", id="brcb_stride"),
        pytest.param(Case(type=1, operation=32, mode=8, repeats=1), "argument", "1 to 7", id="pattern"),
        pytest.param(
            Case(type=1, operation=32, mode=1, repeats=1, extra=(0, 1, BITS, 0)), "argument", "mask is 0", id="no_count"
        ),
        pytest.param(
            Case(type=0, operation=30, count=16, extra=(1, 0, 0, 0)), "alignment", "multiple", id="gather_offset"
        ),
        pytest.param(
            Case(type=0, operation=30, count=16, extra=(IMAGE, 0, 0, 0)), "bounds", "Gather", id="gather_bounds"
        ),
        pytest.param(
            Case(type=0, operation=3, form=2, mask=(1, 0), src0_repeat=4096), "argument", "4095", id="copy_stride"
        ),
        pytest.param(Case(type=1, operation=42, mode=11, extra=(1, 2, 3, 3)), "argument", "32 bytes", id="plane"),
        pytest.param(Case(type=1, operation=42, mode=3), "argument", "not supported", id="transpose_type"),
    ],
)
def test_faults(case: Case, kind: str, words: str) -> None:
    image = image_of({SRC0: values(np.float32, 1), SRC1: np.zeros(64, np.uint32)})
    with pytest.raises(SimulationError, match=words) as caught:
        run(KERNEL, case, image)
    assert caught.value.kind == kind
