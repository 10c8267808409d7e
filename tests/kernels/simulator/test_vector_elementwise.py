"""Element-wise vector functions in count, mask and repeat-stride form against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels.simulator.vector_cases import DST, SRC0, SRC1, Case, address, get, image_of, lanes, put, run

from coopdraw.kernels.simulator.simulation import SimulationError

KERNEL = "vector_elementwise"
TYPES = {0: np.float16, 1: np.float32, 2: np.int16, 3: np.int32, 4: np.uint16, 5: np.uint32}
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Value = Any  # a NumPy scalar


def relu(x: Value) -> Value:
    return np.maximum(x, x.dtype.type(0))


def rounded(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Value], Value]:
    """The function in double, rounded to float32 and then to the type: what a correctly rounded result is."""
    return lambda x: function(np.float64(x)).astype(np.float32).astype(x.dtype)


def shifted_left(x: Value, by: Value) -> Value:
    bits = x.dtype.itemsize * 8
    sign = 1 << (bits - 1) if x.dtype.kind == "i" else 0
    word = int(x) & ((1 << bits) - 1)
    result = ((word << int(by)) & ((1 << bits) - 1) & ~sign) | (word & sign)
    return np.array(result, f"u{x.dtype.itemsize}").view(x.dtype)[()]


# (tiling key, operation, types, sources, function of the sources, the scalar and the old destination)
UNARY = {
    "Abs": (0, 0, (0, 1), lambda x: abs(x)),
    "Exp": (0, 1, (0, 1), rounded(np.exp)),
    "Ln": (0, 2, (0, 1), rounded(np.log)),
    "Reciprocal": (0, 3, (0, 1), lambda x: x.dtype.type(1) / x),
    "Rsqrt": (0, 4, (0, 1), rounded(lambda v: 1 / np.sqrt(v))),
    "Sqrt": (0, 5, (0, 1), np.sqrt),
    "Relu": (4, 90, (0, 1, 3), relu),
    "Not": (2, 60, (2, 4), lambda x: ~x),
}
BINARY = {
    "Add": (1, 50, (0, 1, 2, 3), lambda a, b: a + b),
    "Sub": (1, 51, (0, 1, 2, 3), lambda a, b: a - b),
    "Mul": (1, 52, (0, 1, 2, 3), lambda a, b: a * b),
    "Max": (1, 53, (0, 1, 2, 3), np.maximum),
    "Min": (1, 54, (0, 1, 2, 3), np.minimum),
    "Div": (0, 20, (0, 1), lambda a, b: a / b),
    "And": (2, 70, (2, 4), lambda a, b: a & b),
    "Or": (2, 71, (2, 4), lambda a, b: a | b),
    "AddRelu": (4, 91, (0, 1, 2), lambda a, b: relu(a + b)),
    "SubRelu": (4, 92, (0, 1, 2), lambda a, b: relu(a - b)),
}
SCALAR = {
    "Adds": (1, 40, (0, 1, 2, 3), lambda x, s: x + s),
    "Muls": (1, 41, (0, 1, 2, 3), lambda x, s: x * s),
    "Maxs": (1, 42, (0, 1, 2, 3), np.maximum),
    "Mins": (1, 43, (0, 1, 2, 3), np.minimum),
    "LeakyRelu": (0, 6, (0, 1), lambda x, s: np.where(x >= 0, x, x * s)[()].astype(x.dtype)),
    "ShiftLeft": (2, 61, (2, 3, 4, 5), shifted_left),
    "ShiftRight": (2, 62, (2, 3, 4, 5), lambda x, s: x >> s),
}
ONTO_DESTINATION = {
    "FusedMulAdd": (0, 21, (0, 1), lambda a, b, old: a * old + b),
    "MulAddRelu": (0, 22, (0, 1), lambda a, b, old: relu(a * old + b)),
}


def operands(kind: int, seed: int, positive: bool = False) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(seed)
    dtype = TYPES[kind]
    arrays = {}
    for offset in (DST, SRC0, SRC1):
        if np.issubdtype(dtype, np.floating):
            values = generator.normal(0, 2, 4096 // np.dtype(dtype).itemsize).astype(dtype)
            values[values == 0] = dtype(0.5)
            values = abs(values) if positive else values
        else:
            limits = np.iinfo(dtype)
            values = generator.integers(limits.min, limits.max, 4096 // np.dtype(dtype).itemsize, dtype, endpoint=True)
        arrays[offset] = values
    return arrays


def expected(case: Case, image: np.ndarray, function: Callable[..., Value], sources: int, scalar: bool, onto: bool):
    dtype = np.dtype(TYPES[case.type])
    after = image.copy()
    with np.errstate(all="ignore"):
        for repeat, element in lanes(case, 256 // dtype.itemsize):
            at = address(case.dst, repeat, element, dtype.itemsize, case.dst_block, case.dst_repeat)
            places = [(case.src0, case.src0_block, case.src0_repeat), (case.src1, case.src1_block, case.src1_repeat)]
            arguments = [
                get(after, address(start, repeat, element, dtype.itemsize, block, stride), dtype)
                for start, block, stride in places[:sources]
            ]
            arguments += [dtype.type(case.scalar)] if scalar else []
            arguments += [get(after, at, dtype)] if onto else []
            put(after, at, dtype.type(function(*arguments)))
    return after


def assert_same(case: Case, actual: np.ndarray, wanted: np.ndarray, ulp: int) -> None:
    dtype = np.dtype(TYPES[case.type])
    if ulp == 0 or dtype.kind != "f":
        np.testing.assert_array_equal(actual.view(dtype), wanted.view(dtype))
    else:
        integer = np.int16 if dtype.itemsize == 2 else np.int32
        difference = actual.view(integer).astype(np.int64) - wanted.view(integer)
        assert np.abs(difference).max() <= ulp


@st.composite
def forms(draw: st.DrawFn, per_repeat: int, unary: bool) -> Case:
    """A case in any form whose operands stay within 4096 bytes each."""
    form = draw(st.sampled_from([0, 1, 2, 3]))
    offsets = [draw(st.integers(0, 3)) * 32 for _ in range(3)]
    case = Case(form=form, dst=DST + offsets[0], src0=SRC0 + offsets[1], src1=SRC1 + offsets[2])
    if form == 0:
        return replace(case, count=draw(st.integers(0, 7 * per_repeat)))
    if form == 3 and draw(st.booleans()):
        return replace(case, counter=1, count=draw(st.integers(1, 7 * per_repeat)))
    repeats = draw(st.integers(0, 4))
    blocks = [draw(st.integers(1, 3)) for _ in range(3)]
    # A destination must not be written by two repeats; sources may be read again.
    strides = [draw(st.integers(8 * blocks[0], 30)), draw(st.integers(0, 30)), draw(st.integers(0, 30))]
    words = 2 if per_repeat > 64 else 1
    mask = tuple(draw(st.integers(0, 2**64 - 1)) for _ in range(words)) + (0,) * (2 - words)
    if form == 1:
        mask = (draw(st.integers(0, per_repeat)), 0)
    return replace(
        case,
        mask=mask,
        repeats=repeats,
        dst_block=blocks[0],
        src0_block=blocks[1],
        src1_block=blocks[2],
        dst_repeat=strides[0],
        src0_repeat=strides[1],
        src1_repeat=strides[2],
    )


TABLE = [
    *((name, *row, 1, False, False) for name, row in UNARY.items()),
    *((name, *row, 2, False, False) for name, row in BINARY.items()),
    *((name, *row, 1, True, False) for name, row in SCALAR.items()),
    *((name, *row, 2, False, True) for name, row in ONTO_DESTINATION.items()),
]


@pytest.mark.parametrize(
    ("name", "key", "operation", "types", "function", "sources", "scalar", "onto"), TABLE, ids=[row[0] for row in TABLE]
)
@FEW
@given(data=st.data())
def test_forms(
    name: str,
    key: int,
    operation: int,
    types: tuple[int, ...],
    function: Callable[..., Value],
    sources: int,
    scalar: bool,
    onto: bool,
    data: st.DataObject,
) -> None:
    kind = data.draw(st.sampled_from(types))
    per_repeat = 256 // np.dtype(TYPES[kind]).itemsize
    value = data.draw(st.integers(0, per_repeat // 8 if name.startswith("Shift") else 5)) if scalar else 0
    case = replace(data.draw(forms(per_repeat, sources == 1)), type=kind, operation=operation, scalar=float(value))
    image = image_of(operands(kind, data.draw(st.integers(0, 9)), positive=name in ("Ln", "Rsqrt", "Sqrt")))
    wanted = expected(case, image, function, sources, scalar, onto)
    # Exp, Ln and Rsqrt: glibc and NumPy may differ in the last bit of a double, which rounding makes one of a float.
    assert_same(case, run(KERNEL, case, image, key), wanted, 1 if name in ("Exp", "Ln", "Rsqrt") else 0)


@pytest.mark.parametrize("operation", [80, 81], ids=["Axpy", "MulAddDst"])
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["half", "float", "half_to_float"])
@FEW
@given(count=st.integers(0, 300), form=st.sampled_from([0, 2]), mask=st.integers(0, 2**64 - 1))
def test_products_onto_the_destination(operation: int, kind: int, count: int, form: int, mask: int) -> None:
    source, result = [(np.float16, np.float16), (np.float32, np.float32), (np.float16, np.float32)][kind]
    wide, narrow = np.dtype(result).itemsize, np.dtype(source).itemsize
    case = Case(
        form=form, count=count, mask=(mask, 0), repeats=2, type=kind, operation=operation, scalar=1.5,
        src0_repeat=8 * narrow // wide, src1_repeat=8 * narrow // wide,
    )  # fmt: skip
    values = np.random.default_rng(3).normal(0, 1, 3000)
    image = image_of({DST: values[:1000].astype(result), SRC0: values[1000:2000].astype(source),
                      SRC1: values[2000:].astype(source)})  # fmt: skip
    wanted = image.copy()
    for repeat, element in lanes(case, 256 // wide):
        at = address(DST, repeat, element, wide, 1, 8)
        a = get(image, address(SRC0, repeat, element, narrow, 1, case.src0_repeat), source)
        b = get(image, address(SRC1, repeat, element, narrow, 1, case.src1_repeat), source)
        product = result(a) * result(b if operation == 81 else source(1.5))
        put(wanted, at, result(product + get(image, at, result)))
    np.testing.assert_array_equal(run(KERNEL, case, image, 3), wanted)


def test_masks_that_a_call_leaves_behind() -> None:
    image = image_of({SRC0: np.arange(256, dtype=np.float32)})
    after = run(KERNEL, Case(form=0, count=100, dst=DST, src0=SRC0), image, 5).view(np.float32)
    np.testing.assert_array_equal(after[:100], np.arange(100) + np.r_[np.full(64, 2), np.full(36, 1)])
    after = run(KERNEL, Case(form=1, mask=(10, 0)), image, 5).view(np.float32)
    np.testing.assert_array_equal(after[:10], np.arange(10) + 2)
    np.testing.assert_array_equal(after[10:64].view(np.int32), image.view(np.int32)[10:64])


def test_accumulation_over_repeats_through_the_second_source() -> None:
    # Documented for Add and a few others: the destination is the next repeat's second source when a stride is 0.
    values = np.random.default_rng(4).normal(0, 1, 256).astype(np.float32)
    image = image_of({DST: np.zeros(64, np.float32), SRC0: values})
    case = Case(form=1, mask=(64, 0), repeats=4, type=1, operation=50, src1=DST, dst_repeat=0, src1_repeat=0)
    total = np.zeros(64, np.float32)
    for row in values.reshape(4, 64):
        total = row + total
    np.testing.assert_array_equal(run(KERNEL, case, image, 1).view(np.float32)[:64], total)


ADD = Case(form=1, mask=(64, 0), repeats=2, type=1, operation=50)


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        pytest.param(replace(ADD, repeats=256), "argument", "repeatTime is 256", id="repeats"),
        pytest.param(replace(ADD, dst_repeat=256), "argument", "holds 0 to 255", id="repeat_stride"),
        pytest.param(replace(ADD, mask=(65, 0)), "argument", "mask is 65", id="mask"),
        pytest.param(replace(ADD, dst_block=0), "argument", "block stride is 0", id="block_stride"),
        pytest.param(replace(ADD, form=0, count=-1), "argument", "count is -1", id="negative_count"),
        pytest.param(replace(ADD, dst=4), "alignment", "32", id="misaligned_destination"),
        pytest.param(replace(ADD, src1=SRC1 + 16), "alignment", "32", id="misaligned_source"),
        pytest.param(replace(ADD, form=0, count=4097), "bounds", "Add", id="count_beyond_the_image"),
        pytest.param(replace(ADD, dst_elements=100), "bounds", "Add", id="count_beyond_the_tensor"),
        pytest.param(replace(ADD, dst=SRC0 + 32), "hazard", "overlap in part", id="partial_overlap"),
        pytest.param(replace(ADD, dst=SRC0 + 256), "hazard", "repeat 1 reads what repeat 0", id="chained_repeats"),
        pytest.param(replace(ADD, form=0, count=300, dst=SRC0 + 32), "hazard", "overlap", id="overlap_of_counts"),
        pytest.param(replace(ADD, dst=SRC0, dst_repeat=8, src0_repeat=4), "hazard", "overlap|reads what", id="strides"),
    ],
)
def test_faults(case: Case, kind: str, words: str) -> None:
    image = image_of(operands(1, 0))
    with pytest.raises(SimulationError, match=words) as caught:
        run(KERNEL, case, image, 1)
    assert caught.value.kind == kind


@pytest.mark.parametrize("distance", [17, -1])
def test_shift_distance(distance: int) -> None:
    case = Case(count=16, type=2, operation=61, scalar=float(distance))
    with pytest.raises(SimulationError, match="shift distance"):
        run(KERNEL, case, image_of(operands(2, 0)), 2)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(replace(ADD, dst=SRC0), id="in_place"),
        pytest.param(replace(ADD, form=0, count=1000, dst=SRC0), id="in_place_count"),
        pytest.param(replace(ADD, dst=SRC0 - 256), id="a_repeat_ahead"),
        pytest.param(replace(ADD, src0_repeat=0), id="repeated_source"),
        pytest.param(replace(ADD, repeats=0), id="no_repeat"),
        pytest.param(replace(ADD, mask=(0, 0)), id="no_element"),
    ],
)
def test_documented_overlaps_and_empty_calls(case: Case) -> None:
    image = image_of(operands(1, 1))
    wanted = expected(case, image, lambda a, b: a + b, 2, False, False)
    np.testing.assert_array_equal(run(KERNEL, case, image, 1).view(np.float32), wanted.view(np.float32))


def test_padding_that_nobody_wrote_may_be_computed_but_not_copied_out() -> None:
    case = Case(count=2048, type=1, operation=50, src0=0, src1=0, written_bytes=4096)
    with pytest.raises(SimulationError, match="nothing wrote") as caught:
        run(KERNEL, replace(case, dst=8192), image_of(operands(1, 0))[:4096], 1)
    assert caught.value.kind == "uninitialised"
