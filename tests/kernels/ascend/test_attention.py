"""The Ascend kernel of attention, simulated on all its cores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.ascend.nodes import half_spacing, normal, program
from kernels.calling import make_node

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.capacity import usable_ub_bytes
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.simulation import simulate_program
from coopdraw.kernels.attention.ascend import ASCEND
from coopdraw.kernels.attention.tiling import AttentionProblem, launch
from coopdraw.kernels.simulator.report import Report
from coopdraw.kernels.simulator.soc import SOCS

TOLERANCE = 1e-3
"""For 77 keys and more of scale 1: results, then below 2, and weights are rounded to float16 once."""

ARITHMETIC = 2e-5
"""What float32 arithmetic comes to for values of scale 1: some hundred roundings."""


def operands(
    batch: int, heads: int, queries: int, keys: int, width: int = 64, value_width: int | None = None, seed: int = 0
) -> list[np.ndarray]:
    """Query, key, value in layout BNSD."""
    random = np.random.default_rng(seed)
    shapes = ((queries, width), (keys, width), (keys, value_width or width))
    return [normal(random, (batch, heads, *shape), "float16") for shape in shapes]


def stored(array: np.ndarray, layout: str) -> np.ndarray:
    """From BNSD to a layout."""
    batch, heads, length, width = array.shape
    if layout == "BNSD":
        return array
    return np.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(batch, length, heads * width)


def attention_node(inputs: list[np.ndarray], heads: int, scale: float, layout: str) -> Node:
    return make_node("attention", inputs, {"heads": heads, "scale": scale, "layout": layout})


def exact(query: np.ndarray, key: np.ndarray, value: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """softmax(scale query key^T) value in float64, head by head, and the same with the values' magnitudes."""
    result = np.empty((2, *query.shape[:3], value.shape[3]))
    for index in np.ndindex(*query.shape[:2]):
        scores = scale * query[index].astype(np.float64) @ key[index].astype(np.float64).T
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        values = value[index].astype(np.float64)
        result[0][index], result[1][index] = weights @ values, weights @ np.abs(values)
    return result[0], result[1]


def check(inputs: list[np.ndarray], soc: str = "ascend910b", layout: str = "BSH", scale: float | None = None) -> Report:
    """The kernel's result for operands in BNSD against float64."""
    usual = inputs[0].shape[3] ** -0.5
    scale = scale or usual
    given_inputs = [stored(array, layout) for array in inputs]
    node = attention_node(given_inputs, inputs[0].shape[1], scale, layout)
    simulation = simulate_program(program(ASCEND, DType.FLOAT16, soc), ASCEND, node, given_inputs)
    (output,) = simulation.outputs
    expected, magnitudes = (stored(array, layout) for array in exact(*inputs, scale))
    error = np.abs(output.astype(np.float64) - expected)
    # Weights have 11 bits, or, where they are tiny, steps of 2^-24; the result is rounded once.
    weights = 2.0**-11 * magnitudes + 2.0**-25 * np.abs(inputs[2].astype(np.float64)).sum(axis=2).max()
    assert np.all(error <= 1.01 * half_spacing(expected, output.dtype) + weights + ARITHMETIC * (1 + magnitudes))
    if inputs[1].shape[2] >= 77 and scale == usual:
        assert error.max() <= TOLERANCE
    return simulation.report


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("heads", [10, 20])
@pytest.mark.parametrize(("queries", "keys"), [(4096, 77), (1024, 77), (1024, 1024)])
def test_released_shapes(batch: int, heads: int, queries: int, keys: int) -> None:
    check(operands(batch, heads, queries, keys))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "heads", "queries", "keys"),
    [(1, 10, 4096, 4096), (1, 20, 4096, 4096), (2, 10, 4096, 4096), (1, 10, 4096, 1024), (1, 20, 1024, 4096)],
)
def test_long_sequences(batch: int, heads: int, queries: int, keys: int) -> None:
    check(operands(batch, heads, queries, keys))


@pytest.mark.parametrize("soc", ["ascend910b1", "ascend310p"])
@pytest.mark.parametrize(("queries", "keys"), [(1024, 77), (512, 512), (100, 1000)])
def test_other_processors(soc: str, queries: int, keys: int) -> None:
    check(operands(2, 5, queries, keys), soc)


@pytest.mark.parametrize("soc", ["ascend910b", "ascend310p"])
@settings(max_examples=40)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 4),
    queries=st.integers(1, 300),
    keys=st.one_of(st.integers(1, 200), st.integers(500, 1100)),
    width=st.integers(1, 16).map(lambda fractals: 16 * fractals),
    value_width=st.integers(1, 16).map(lambda fractals: 16 * fractals),
    layout=st.sampled_from(("BSH", "BNSD")),
    scale=st.floats(0.01, 0.3),
    seed=st.integers(0, 2**16),
)
def test_any_shape(
    soc: str,
    batch: int,
    heads: int,
    queries: int,
    keys: int,
    width: int,
    value_width: int,
    layout: str,
    scale: float,
    seed: int,
) -> None:
    check(operands(batch, heads, queries, keys, width, value_width, seed), soc, layout, scale)


def test_layout_of_cann_8_gives_the_same() -> None:
    inputs = [stored(array, "BSH") for array in operands(1, 2, 100, 600)]
    node = attention_node(inputs, 2, 0.125, "BSH")
    results = [
        simulate_program(program(ASCEND, DType.FLOAT16, "ascend910b", layout), ASCEND, node, inputs).outputs[0]
        for layout in Layout
    ]
    np.testing.assert_array_equal(*results)


def test_large_scores_and_late_maxima() -> None:
    """Weights of 0 and 1, and a largest score in the last block of keys, which shrinks all that was added up before."""
    query, key, value = operands(1, 2, 64, 1100)
    key[:, :, -1] *= 8
    check([20 * query, key, value], scale=0.125)
    check([query, 100 * key, value], scale=0.125)


def test_work_of_the_cores_is_even() -> None:
    report = check(operands(2, 10, 1024, 77))
    vectors = [core.pipes["V"].elements for core in report.cores if core.kind == "vector"]
    cubes = [core.pipes["M"].multiply_adds for core in report.cores if core.kind == "cube"]
    assert len(vectors) == 40
    assert len(cubes) == 20
    assert max(vectors) <= 1.01 * min(vectors)
    assert max(cubes) <= 1.01 * min(cubes)


def test_keys_and_values_are_read_once_a_task() -> None:
    batch, heads, queries, keys, width = 1, 10, 1024, 77, 64
    report = check(operands(batch, heads, queries, keys))
    shape = AttentionProblem(batch, heads, queries, keys, width, width, width**-0.5, split=True)
    tasks = batch * heads * math.ceil(queries / launch(shape, SOCS["ascend910b"]).tiling.rows)  # type: ignore[attr-defined]
    queries_once = batch * heads * queries * width * 2
    keys_and_values = tasks * 2 * keys * width * 2
    weights = batch * heads * queries * keys * 2  # from the workspace
    cube = sum(core.pipes["MTE2"].global_bytes_read for core in report.cores if core.kind == "cube")
    assert cube == queries_once + keys_and_values + weights


@pytest.mark.parametrize(
    ("shapes", "attributes", "reason"),
    [
        ([(1, 64, 80)] * 3, {"heads": 2}, "are 40 wide"),
        ([(1, 64, 320)] * 3, {"heads": 1}, "are 320 wide"),
        ([(1, 64, 64)] * 3, {"scale": -0.125}, "scale is -0.125"),
        ([(1, 64, 64)] * 3 + [(64, 64)], {}, "no mask"),
        ([(1, 4, 70400)] * 3, {"heads": 275}, "longer than 65535"),
    ],
)
def test_what_the_kernel_refuses(shapes: list[tuple[int, ...]], attributes: dict[str, float], reason: str) -> None:
    inputs = [np.broadcast_to(np.float16(0), shape) for shape in shapes]
    node = make_node("attention", inputs, {"heads": 1, "scale": 0.125, "layout": "BSH"} | attributes)
    for soc in SOCS.values():
        assert reason in str(ASCEND.refusal(node, soc))


def test_float32_is_refused() -> None:
    node = make_node(
        "attention", [np.zeros((1, 16, 64), np.float32)] * 3, {"heads": 1, "scale": 0.125, "layout": "BSH"}
    )
    assert "takes float16" in str(ASCEND.refusal(node, SOCS["ascend910b"]))


@pytest.mark.parametrize("soc", SOCS)
@pytest.mark.parametrize("width", [16, 64, 128, 256])
def test_stated_memory_fits(soc: str, width: int) -> None:
    processor = SOCS[soc]
    for queries, keys in ((4096, 4096), (1024, 77), (1, 1), (33, 513)):
        shape = (1, queries, 10 * width), (1, keys, 10 * width)
        inputs = [np.broadcast_to(np.float16(0), shape[min(place, 1)]) for place in range(3)]
        memory = ASCEND.launch_of(attention_node(inputs, 10, 0.1, "BSH"), processor).memory
        assert memory["ub"] <= usable_ub_bytes(processor)
        assert memory["l1"] <= processor.l1_bytes
        assert memory["l0a"] <= processor.l0a_bytes
        assert memory["l0b"] <= processor.l0b_bytes
        assert memory["l0c"] <= processor.l0c_bytes
