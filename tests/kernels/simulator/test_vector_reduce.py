"""Reductions in the device's order: adjacent pairs first, each sum rounded to the element type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels.simulator.vector_cases import DST, SRC0, Case, address, get, image_of, lanes, run, view

from coopdraw.kernels.simulator.simulation import SimulationError

KERNEL = "vector_reduce"
TYPES = {0: np.float16, 1: np.float32}
WORK = 12288
FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Array = np.ndarray[Any, np.dtype[Any]]


def tree(values: Array) -> Any:
    """Sum of a power of two of values, neighbours first, in their own type."""
    while len(values) > 1:
        values = (values[::2] + values[1::2]).astype(values.dtype)
    return values[0]


def grouped(case: Case, image: Array, dtype: Any, width: int) -> dict[tuple[int, int], tuple[Array, Array]]:
    """For every (repeat, group) of `width` elements: values with zeros for the rest, and which take part."""
    groups: dict[tuple[int, int], tuple[Array, Array]] = {}
    size = np.dtype(dtype).itemsize
    for repeat, element in lanes(case, 256 // size):
        values, active = groups.setdefault((repeat, element // width), (np.zeros(width, dtype), np.zeros(width, bool)))
        at = address(case.src0, repeat, element, size, case.src0_block, case.src0_repeat)
        values[element % width], active[element % width] = get(image, at, dtype), True
    return groups


def numbers(dtype: Any, seed: int) -> Array:
    # Few different values, so that the largest and smallest occur more than once.
    return (np.random.default_rng(seed).integers(-40, 40, 4096 // np.dtype(dtype).itemsize) / 8).astype(dtype)


@st.composite
def masked(draw: st.DrawFn, kind: int) -> Case:
    per_repeat = 256 // np.dtype(TYPES[kind]).itemsize
    form = draw(st.sampled_from([1, 2]))
    mask = (draw(st.integers(1, per_repeat)), 0)
    if form == 2:
        mask = (draw(st.integers(1, 2**64 - 1)), draw(st.integers(0, 2**64 - 1)) if per_repeat == 128 else 0)
    return Case(
        form=form, mask=mask, type=kind, repeats=draw(st.integers(1, 5)), dst_repeat=draw(st.integers(1, 3)),
        src0_block=draw(st.integers(1, 2)), src0_repeat=draw(st.integers(0, 20)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@pytest.mark.parametrize(
    ("operation", "width"),
    [(0, 0), (10, 0), (3, 32), (4, 32), (5, 32), (13, 32), (6, -2), (16, -2)],
    ids=["WholeReduceSum", "ReduceRepeat", "BlockReduceSum", "BlockReduceMax", "BlockReduceMin", "ReduceDataBlock",
         "PairReduceSum", "ReducePairElem"],
)  # fmt: skip
@FEW
@given(data=st.data())
def test_groups(kind: int, operation: int, width: int, data: st.DataObject) -> None:
    dtype = TYPES[kind]
    size = np.dtype(dtype).itemsize
    elements = 256 // size if width == 0 else -width if width < 0 else width // size
    case = replace(data.draw(masked(kind)), operation=operation)
    image = image_of({SRC0: numbers(dtype, data.draw(st.integers(0, 9)))})
    wanted = view(image, DST, dtype, SRC0 // size).copy()
    per_repeat = 256 // size // elements
    for (repeat, group), (values, active) in grouped(case, image, dtype, elements).items():
        reduced = {4: np.max, 5: np.min}.get(operation)
        wanted[repeat * case.dst_repeat * per_repeat + group] = reduced(values[active]) if reduced else tree(values)
    after = view(run(KERNEL, case, image), DST, dtype, SRC0 // size)
    np.testing.assert_array_equal(after.view(f"u{size}"), wanted.view(f"u{size}"))


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@pytest.mark.parametrize("order", range(4), ids=["value_index", "index_value", "only_value", "only_index"])
@pytest.mark.parametrize("operation", [1, 2, 11], ids=["WholeReduceMax", "WholeReduceMin", "ReduceRepeat"])
@settings(FEW, max_examples=5)
@given(data=st.data())
def test_extremes(kind: int, order: int, operation: int, data: st.DataObject) -> None:
    dtype = TYPES[kind]
    size = np.dtype(dtype).itemsize
    case = replace(data.draw(masked(kind)), operation=operation, extra=(0, order, 0, 0))
    image = image_of({SRC0: numbers(dtype, data.draw(st.integers(0, 9)))})
    wanted = image.copy()
    unit = {0: 2 * size, 1: 2 * size, 2: size, 3: 4}[order]
    for (repeat, _), (values, active) in grouped(case, image, dtype, 256 // size).items():
        worst = np.inf if operation == 2 else -np.inf
        index = int((np.argmin if operation == 2 else np.argmax)(np.where(active, values, dtype(worst))))
        value, position = values[index].tobytes(), np.array(index, f"u{size}").tobytes()
        data_bytes = {0: value + position, 1: position + value, 2: value, 3: np.uint32(index).tobytes()}[order]
        start = DST + repeat * case.dst_repeat * unit
        wanted[start : start + unit] = np.frombuffer(data_bytes, np.uint8)
    np.testing.assert_array_equal(run(KERNEL, case, image), wanted)


def sum_of_count(values: Array, soc: str) -> Any:
    """asc-devkit ReduceSum: 910B adds the repeats' sums in turn, 310P sums whole repeats by trees, then the rest."""
    dtype, width = values.dtype, 256 // values.itemsize
    padded = np.r_[values, np.zeros(-len(values) % width, dtype)]
    sums = np.array([tree(row) for row in padded.reshape(-1, width)], dtype)
    if soc == "ascend910b":
        total = sums[0]
        for value in sums[1:]:
            total = total + value
        return total
    tail = sums[-1] if len(values) % width and len(sums) > 1 else None
    body = sums if tail is None else sums[:-1]
    while len(body) > 1:
        body = np.array(
            [tree(row) for row in np.r_[body, np.zeros(-len(body) % width, dtype)].reshape(-1, width)], dtype
        )
    return body[0] if tail is None else body[0] + tail


@pytest.mark.parametrize("soc", ["ascend910b", "ascend310p"])
@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@FEW
@given(count=st.integers(1, 1000), seed=st.integers(0, 9))
def test_sum_of_a_count(soc: str, kind: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 1000).astype(TYPES[kind])
    case = Case(count=count, type=kind, operation=20, extra=(WORK, 0, 0, 0), returned_bytes=WORK)
    after = run(KERNEL, case, image_of({SRC0: values}), soc=soc)
    assert view(after, DST, TYPES[kind], 1)[0] == sum_of_count(values[:count], soc)


@pytest.mark.parametrize("kind", [0, 1], ids=["half", "float"])
@pytest.mark.parametrize("operation", [20, 21, 22], ids=["ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("index", [0, 1])
@FEW
@given(data=st.data())
def test_all_of_repeats(kind: int, operation: int, index: int, data: st.DataObject) -> None:
    dtype = TYPES[kind]
    size = np.dtype(dtype).itemsize
    case = replace(
        data.draw(masked(kind)),
        form=2,
        operation=operation,
        src0_block=1,
        extra=(WORK, index, 0, 0),
        returned_bytes=WORK,
    )
    case = replace(case, src0_repeat=max(case.src0_repeat, 1))
    image = image_of({SRC0: numbers(dtype, data.draw(st.integers(0, 9)))})
    groups = grouped(case, image, dtype, 256 // size)
    after = view(run(KERNEL, case, image), DST, dtype, 2)
    if operation == 20:
        sums = np.array([tree(values) for values, _ in groups.values()], dtype)
        assert after[0] == tree(np.r_[sums, np.zeros(256 // size - len(sums), dtype)])
        return
    sign = 1 if operation == 21 else -1
    best = max(
        (
            (sign * values[i], -repeat, -i)
            for (repeat, _), (values, active) in groups.items()
            for i in np.flatnonzero(active)
        ),
    )
    assert after[0] == sign * best[0]
    if index:
        assert after[1:2].view(f"u{size}")[0] == -best[1] * case.src0_repeat * 32 // size - best[2]


@pytest.mark.parametrize("count", [1, 64, 65, 700])
@pytest.mark.parametrize("operation", [21, 22], ids=["ReduceMax", "ReduceMin"])
def test_index_of_a_count(operation: int, count: int) -> None:
    values = numbers(np.float32, 3)
    case = Case(count=count, type=1, operation=operation, extra=(WORK, 1, 0, 0), returned_bytes=WORK)
    after = run(KERNEL, case, image_of({SRC0: values}))
    index = int((np.argmax if operation == 21 else np.argmin)(values[:count]))
    assert view(after, DST, np.float32, 1)[0] == values[index]
    assert view(after, DST + 4, np.uint32, 1)[0] == index


def test_results_that_stay_in_registers() -> None:
    values = numbers(np.float32, 4)
    case = Case(count=300, type=1, operation=30, extra=(WORK, 0, 0, 0), returned_bytes=WORK)
    after = view(run(KERNEL, case, image_of({SRC0: values})), DST, np.float32, 5)
    assert after[1] == after[0] == sum_of_count(values[:300], "ascend910b")
    assert after[3] == after[2] == values[:300].max()
    assert after[4:].view(np.uint32)[0] == values[:300].argmax()


@pytest.mark.parametrize(
    ("case", "kind", "words", "soc"),
    [
        pytest.param(
            Case(form=1, mask=(64, 0), repeats=256, type=1), "argument", "repeatTime", "ascend910b", id="repeats"
        ),
        pytest.param(Case(form=1, mask=(65, 0), type=1), "argument", "mask is 65", "ascend910b", id="mask"),
        pytest.param(
            Case(form=1, mask=(64, 0), type=1, src0_repeat=65536), "argument", "stride", "ascend910b", id="stride"
        ),
        pytest.param(Case(form=1, mask=(64, 0), type=1, dst=2), "alignment", "4", "ascend910b", id="result"),
        pytest.param(Case(form=1, mask=(64, 0), type=1, dst=4, operation=1), "alignment", "8", "ascend910b", id="pair"),
        pytest.param(
            Case(form=1, mask=(64, 0), type=1, dst=16, operation=3), "alignment", "32", "ascend910b", id="blocks"
        ),
        pytest.param(
            Case(count=100, type=1, operation=21, extra=(WORK + 4, 0, 0, 0)), "alignment", "32", "ascend910b", id="work"
        ),
        pytest.param(
            Case(form=1, mask=(64, 0), type=1, operation=1, extra=(0, 2, 0, 0)),
            "argument",
            "ORDER",
            "ascend310p",
            id="order",
        ),
        pytest.param(
            Case(form=1, mask=(64, 0), type=1, dst_elements=1, repeats=2), "bounds", "Whole", "ascend910b", id="bounds"
        ),
        pytest.param(
            Case(count=2048, type=1, operation=20, written_bytes=8192),
            "uninitialised",
            "nothing wrote",
            "ascend910b",
            id="undefined",
        ),
    ],
)
def test_faults(case: Case, kind: str, words: str, soc: str) -> None:
    image = image_of({SRC0: numbers(np.float32, 0)})[: case.written_bytes]
    with pytest.raises(SimulationError, match=words) as caught:
        run(KERNEL, case, image, soc=soc)
    assert caught.value.kind == kind
