"""Cast in every documented pair and RoundMode against neighbours found by NumPy and exact integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernels.simulator.vector_cases import DST, SRC0, Case, address, image_of, lanes, run, view

from coopdraw.kernels.simulator.simulation import SimulationError

KERNEL = "vector_cast"
NONE, RINT, FLOOR, CEIL, ROUND, TRUNC, ODD = range(7)
FIVE = (RINT, FLOOR, CEIL, ROUND, TRUNC)
SIX = (NONE, *FIVE)
COUNT = 192

Array = np.ndarray[Any, np.dtype[Any]]
bfloat16 = np.dtype("V2")  # handled as bits

SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 1e-8, 2.0**-24, 2.0**-25, -(2.0**-25), 3 * 2.0**-26, 6e-8]
EDGES = [
    65504.0,
    65519.0,
    65520.0,
    -65520.0,
    70000.0,
    -70000.0,
    127.5,
    128.0,
    -128.5,
    255.5,
    256.0,
    -1.0,
    32767.5,
    3e9,
    -3e9,
]
TIES = [1.00048828125, 1.00146484375, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -(1 + 2.0**-8)]


def floats(dtype: Any, seed: int = 0) -> Array:
    values = np.random.default_rng(seed).normal(0, 1, COUNT) * 10.0 ** np.random.default_rng(seed + 1).uniform(
        -8, 5, COUNT
    )
    chosen = [*SPECIAL, *EDGES, *TIES]
    values[: len(chosen)] = chosen
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def small_halves() -> Array:
    return np.nan_to_num(floats(np.float16), posinf=300, neginf=-300).clip(-300, 300).astype(np.float16)


def integers(dtype: Any) -> Array:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(5).integers(limits.min, limits.max, COUNT, dtype, endpoint=True)
    near = [limits.min, limits.max, 0, 1, -1 % (limits.max + 1), limits.max - 1]
    values[: len(near)] = near
    values[10:60] //= dtype(2 ** max(0, np.dtype(dtype).itemsize * 8 - 20))
    if np.dtype(dtype).itemsize >= 4:
        values[60:70] = [2**24 + i for i in range(10)]
        values[70:80] = [-(2**24) - i for i in range(10)]
    return values


def to_integer(x: Array, mode: int, dtype: Any) -> Array:
    """Whole numbers of finite floats, then saturated; float64 holds every float32 exactly."""
    exact = x.astype(np.float64)
    away = np.copysign(np.floor(abs(exact) + 0.5), exact)  # exact: float32 plus a half fits float64
    whole = {NONE: np.rint(exact), RINT: np.rint(exact), FLOOR: np.floor(exact), CEIL: np.ceil(exact), ROUND: away,
             TRUNC: np.trunc(exact)}[mode]  # fmt: skip
    if dtype is np.float32:
        return whole.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.array([min(max(int(value), limits.min), limits.max) for value in whole], dtype)


def choose(exact: Any, below: Any, above: Any, nearest: Any, mode: int, odd: Any) -> Any:
    """Of the two neighbours of an exact value the one that the mode takes; `odd` says which has an odd last bit."""
    if below == above:
        return nearest
    if mode == TRUNC:
        return below if exact >= 0 else above
    if mode == ROUND and exact - below == above - exact:
        return above if exact >= 0 else below
    return {NONE: nearest, RINT: nearest, ROUND: nearest, FLOOR: below, CEIL: above, ODD: odd}[mode]


def to_half(x: Array, mode: int) -> Array:
    results = []
    for value in x.astype(np.float64):
        with np.errstate(over="ignore"):
            nearest = np.float16(value)
            below = nearest if nearest <= value else np.nextafter(nearest, np.float16(-np.inf))
            above = nearest if nearest >= value else np.nextafter(nearest, np.float16(np.inf))
        odd = below if below.view(np.uint16) & 1 else above
        if mode == ROUND and np.isinf(above) and value >= 0:
            results.append(np.float16(np.inf) if value >= 65520 else below)
        elif mode == ROUND and np.isinf(below):
            results.append(np.float16(-np.inf) if value <= -65520 else above)
        else:
            results.append(choose(value, float(below), float(above), nearest, mode, odd))
    return np.array(results, np.float16)


def to_bfloat16(x: Array, mode: int) -> Array:
    results = []
    for value in x:
        bits = int(value.view(np.uint32))
        inner = bits & 0xFFFF0000
        outer = inner if inner == bits else inner + 0x10000
        low, high = (np.uint32(b).view(np.float32) for b in sorted((inner, outer), reverse=bool(value < 0)))
        exact = float(value)
        tie = abs(exact - float(low)) - abs(float(high) - exact)
        even = low if low.view(np.uint32) >> 16 & 1 == 0 else high
        nearest = low if tie < 0 else high if tie > 0 else even
        odd = high if even is low else low
        results.append(choose(exact, float(low), float(high), nearest, mode, odd))
    return np.array(results, np.float32).view(np.uint32).__rshift__(16).astype(np.uint16)


def integer_to_float(x: Array, mode: int) -> Array:
    results = []
    for value in x:
        exact, nearest = int(value), np.float32(value)
        below = nearest if int(nearest) <= exact else np.nextafter(nearest, np.float32(-np.inf))
        above = nearest if int(nearest) >= exact else np.nextafter(nearest, np.float32(np.inf))
        results.append(choose(exact, int(below), int(above), nearest, mode, nearest))
    return np.array(results, np.float64).astype(np.float32)


def widened(bits: Array) -> Array:
    return (bits.astype(np.uint32) << 16).view(np.float32)


PAIRS = [
    ("half_to_float", 0, floats(np.float16), np.float32, (NONE,), lambda x, m: x.astype(np.float32)),
    ("float_to_half", 1, floats(np.float32), np.float16, (*SIX, ODD), to_half),
    ("float_to_int32", 2, floats(np.float32), np.int32, FIVE, lambda x, m: to_integer(x, m, np.int32)),
    ("int32_to_float", 3, integers(np.int32), np.float32, SIX, integer_to_float),
    ("half_to_int32", 4, np.nan_to_num(floats(np.float16), posinf=9, neginf=9), np.int32, FIVE,
     lambda x, m: to_integer(x, m, np.int32)),
    ("half_to_int8", 6, small_halves(), np.int8, SIX, lambda x, m: to_integer(x, m, np.int8)),
    ("half_to_uint8", 7, small_halves(), np.uint8, SIX,
     lambda x, m: to_integer(x, m, np.uint8)),
    ("int8_to_half", 8, integers(np.int8), np.float16, (NONE,), lambda x, m: x.astype(np.float16)),
    ("uint8_to_half", 9, integers(np.uint8), np.float16, (NONE,), lambda x, m: x.astype(np.float16)),
    ("int16_to_half", 10, integers(np.int16), np.float16, SIX, lambda x, m: to_half(x.astype(np.float32), m)),
    ("half_to_int16", 11, np.nan_to_num(floats(np.float16), posinf=7, neginf=7), np.int16, FIVE,
     lambda x, m: to_integer(x, m, np.int16)),
    ("int32_to_int16", 12, integers(np.int32), np.int16, (NONE,), lambda x, m: x.clip(-32768, 32767).astype(np.int16)),
    ("float_to_bfloat16", 14, floats(np.float32), np.uint16, FIVE, to_bfloat16),
    ("bfloat16_to_float", 15, (floats(np.float32).view(np.uint32) >> 16).astype(np.uint16), np.float32, (NONE,),
     lambda x, m: widened(x)),
    ("bfloat16_to_int32", 16, (floats(np.float32).view(np.uint32) >> 16).astype(np.uint16), np.int32, FIVE,
     lambda x, m: to_integer(widened(x), m, np.int32)),
    ("float_to_float", 17, floats(np.float32), np.float32, FIVE, lambda x, m: to_integer(x, m, np.float32)),
    ("float_to_int64", 18, floats(np.float32), np.int64, FIVE, lambda x, m: to_integer(x, m, np.int64)),
    ("int64_to_float", 19, integers(np.int64), np.float32, FIVE, integer_to_float),
    ("int64_to_int32", 21, integers(np.int64), np.int32, (NONE,),
     lambda x, m: x.clip(-(2**31), 2**31 - 1).astype(np.int32)),
    ("int32_to_int64", 20, integers(np.int32), np.int64, (NONE,), lambda x, m: x.astype(np.int64)),
    ("int16_to_float", 23, integers(np.int16), np.float32, (NONE,), lambda x, m: x.astype(np.float32)),
    ("float_to_int16", 22, floats(np.float32), np.int16, FIVE, lambda x, m: to_integer(x, m, np.int16)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "values", "result", "mode", "oracle"),
    [
        pytest.param(pair, np.nan_to_num(values, posinf=3, neginf=3) if values.dtype.kind == "f" else values, result,
                     mode, oracle, id=f"{name}-{mode}")
        for name, pair, values, result, modes, oracle in PAIRS
        for mode in modes
    ],
)  # fmt: skip
def test_counts(pair: int, values: Array, result: Any, mode: int, oracle: Any) -> None:
    image = image_of({SRC0: values})
    after = run(KERNEL, Case(type=pair, mode=mode, count=COUNT - 3), image)
    size = np.dtype(result).itemsize
    wanted = np.asarray(oracle(values[: COUNT - 3], mode), result)
    np.testing.assert_array_equal(view(after, DST, f"u{size}", COUNT - 3), wanted.view(f"u{size}"))
    np.testing.assert_array_equal(after[DST + (COUNT - 3) * size : SRC0], image[DST + (COUNT - 3) * size : SRC0])


@pytest.mark.parametrize(("pair", "source", "result"), [(0, np.float16, np.float32), (1, np.float32, np.float16)])
@pytest.mark.parametrize("form", [1, 2])
def test_strides_of_the_narrow_operand(pair: int, source: Any, result: Any, form: int) -> None:
    narrow, wide = (4, 8) if source is np.float16 else (8, 4)
    mask = (37, 0) if form == 1 else (0x8421_0F0F_3333_0001, 0)
    case = Case(form=form, mask=mask, repeats=3, type=pair, dst_repeat=wide + 1, src0_repeat=narrow, dst_block=1)
    values = np.random.default_rng(7).normal(0, 1, 1024).astype(source)
    image = image_of({SRC0: values})
    wanted = image.copy()
    sizes = np.dtype(source).itemsize, np.dtype(result).itemsize
    for repeat, element in lanes(case, 64):
        start = address(SRC0, repeat, element, sizes[0], 1, narrow)
        place = address(DST, repeat, element, sizes[1], 1, wide + 1)
        value = image[start : start + sizes[0]].view(source)[0].astype(result)
        wanted[place : place + sizes[1]] = np.frombuffer(value.tobytes(), np.uint8)
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


def test_four_bit_integers() -> None:
    values = np.random.default_rng(1).uniform(-12, 12, 64).astype(np.float16)
    after = run(KERNEL, Case(type=13, mode=NONE, count=64), image_of({SRC0: values}))
    nibbles = (np.rint(values.astype(np.float32)).clip(-8, 7).astype(np.int8) & 15).view(np.uint8)
    np.testing.assert_array_equal(after[:32], nibbles[::2] | nibbles[1::2] << 4)
    back = run(KERNEL, Case(type=24, mode=NONE, count=64), image_of({SRC0: after[:32]}))
    wanted = nibbles.astype(np.float16) - np.where(nibbles > 7, 16, 0)
    np.testing.assert_array_equal(view(back, DST, np.float16, 64), wanted.astype(np.float16))


def test_int32_to_half_is_scaled() -> None:
    values = np.random.default_rng(2).integers(-(2**20), 2**20, 64, np.int32)
    case = Case(type=5, mode=NONE, count=64, scalar=0.25, extra=(1, 0, 0, 0))
    after = run(KERNEL, case, image_of({SRC0: values}))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(view(after, DST, np.float16, 64), (values * 0.25).astype(np.float16))
    with pytest.raises(SimulationError, match="SetDeqScale"):
        run(KERNEL, replace(case, extra=(0, 0, 0, 0)), image_of({SRC0: values}))


def test_narrowing_in_place() -> None:
    values = np.random.default_rng(3).normal(0, 1, 200).astype(np.float32)
    case = Case(type=1, mode=RINT, count=200, dst=SRC0)
    after = run(KERNEL, case, image_of({SRC0: values}))
    np.testing.assert_array_equal(view(after, SRC0, np.float16, 200), values.astype(np.float16))


@pytest.mark.parametrize(
    ("case", "kind", "words", "soc"),
    [
        pytest.param(Case(type=0, mode=RINT, count=64), "argument", "RoundMode 1", "ascend910b", id="mode"),
        pytest.param(Case(type=1, mode=ROUND, count=64), "argument", "RoundMode 4", "ascend310p", id="mode_of_310p"),
        pytest.param(Case(type=0, count=64, dst=SRC0), "hazard", "Cast", "ascend910b", id="widening_in_place"),
        pytest.param(Case(type=13, count=63), "argument", "pairs", "ascend910b", id="odd_count_of_int4"),
        pytest.param(Case(type=0, form=1, mask=(65, 0)), "argument", "mask is 65", "ascend910b", id="mask"),
    ],
)
def test_faults(case: Case, kind: str, words: str, soc: str) -> None:
    with pytest.raises(SimulationError, match=words) as caught:
        run(KERNEL, case, image_of({SRC0: np.zeros(512, np.float32)}), soc=soc)
    assert caught.value.kind == kind
