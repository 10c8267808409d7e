"""Attention against onnxruntime's own operator, and against its decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs.onnx_modules import run_module
from graphs.onnx_oracle import checked_evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.ops import infer, lookup
from coopdraw.graphs.ops.fused.attention import attention_extents
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

# float32 dot products of up to 8 terms around 1, an exponential and a quotient, in another order: 32 ulp of 4.
ROUNDING = 2e-5


def operands(layout: str, batch: int, heads: int, lengths: tuple[int, int], widths: tuple[int, int], seed: int) -> Any:
    """Query, key and value of `lengths` (queries, keys) and `widths` (query and key, value)."""
    random = np.random.default_rng(seed)
    columns = ((lengths[0], widths[0]), (lengths[1], widths[0]), (lengths[1], widths[1]))
    split = layout == "BSH"
    shapes = [(batch, length, heads * width) if split else (batch, heads, length, width) for length, width in columns]
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


CASES = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(["BSH", "BNSD"]),
        "batch": st.integers(1, 3),
        "heads": st.integers(1, 3),
        "lengths": st.tuples(*[st.integers(1, 8)] * 2),
        "widths": st.tuples(*[st.integers(1, 8)] * 2),
        "seed": st.integers(0, 999),
    }
)


def single(inputs: Sequence[np.ndarray], attributes: dict[str, Any], decomposed: bool = False) -> Module:
    """A module of one attention, or of what it is taken apart into."""
    builder = GraphBuilder("main")
    values = [builder.input(f"x{index}", TensorType.of(array)) for index, array in enumerate(inputs)]
    if decomposed:
        decompose = lookup("attention").decompose
        assert decompose is not None
        (result,) = decompose(builder, values, attributes)
    else:
        result = builder.add("attention", *values, **attributes)
    module = Module(builder.build([result], ["y"]))
    verify(module)
    return module


def feeds(inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"x{index}": array for index, array in enumerate(inputs)}


@settings(deadline=None)
@given(case=CASES, scale=st.sampled_from([1.0, 0.25, 1.7]), masked=st.sampled_from(["", "all", "heads", "keys"]))
def test_reference_and_decomposition_are_onnx_attention(case: dict[str, Any], scale: float, masked: str) -> None:
    inputs = operands(**case)
    attributes = {"heads": case["heads"], "scale": scale, "layout": case["layout"]}
    queries, keys = case["lengths"]
    shapes = {
        "all": (case["batch"], case["heads"], queries, keys),
        "heads": (1, case["heads"], 1, keys),
        "keys": (keys,),
    }
    if masked:
        inputs.append(np.random.default_rng(case["seed"]).standard_normal(shapes[masked]).astype(np.float32))
    expected = run_module(single(inputs, attributes), feeds(inputs))["y"]
    (found,) = checked_evaluate("attention", inputs, attributes)
    apart = run(single(inputs, attributes, decomposed=True), feeds(inputs))["y"]
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(apart, expected, rtol=ROUNDING, atol=ROUNDING)


@settings(deadline=None, max_examples=30)
@given(case=CASES, dtype=st.sampled_from([DType.FLOAT16, DType.BFLOAT16, DType.FLOAT64]))
def test_decomposition_is_as_precise_as_the_reference(case: dict[str, Any], dtype: DType) -> None:
    """Half precision is computed in float32 and rounded once, so the two differ by one rounding at most."""
    inputs = [array.astype(dtype.numpy) for array in operands(**case)]
    attributes = {"heads": case["heads"], "scale": 0.3, "layout": case["layout"]}
    (found,) = checked_evaluate("attention", inputs, attributes)
    apart = run(single(inputs, attributes, decomposed=True), feeds(inputs))["y"]
    assert apart.dtype == found.dtype
    step = {DType.FLOAT16: 2.0**-10, DType.BFLOAT16: 2.0**-7, DType.FLOAT64: 1e-14}[dtype]
    # The tiny absolute part is for sums that cancel, which float32's own rounding (here 1e-6) shifts.
    absolute = 1e-13 if dtype is DType.FLOAT64 else 1e-6
    np.testing.assert_allclose(apart.astype(np.float64), found.astype(np.float64), rtol=step, atol=absolute)


def test_scores_beyond_the_range_of_exp_and_of_float16() -> None:
    """One key is far ahead of the other: the result is its value; the scores are 1e5 in float16 and 1e10 in float32."""
    for dtype, size in ((np.float16, 300.0), (np.float32, 1e5)):
        query = np.full((1, 1, 1, 1), size, dtype)
        key = np.array([-size, size], dtype).reshape(1, 1, 2, 1)
        value = np.array([3.0, 5.0], dtype).reshape(1, 1, 2, 1)
        attributes = {"heads": 1, "scale": 1.0, "layout": "BNSD"}
        inputs = [query, key, value]
        assert checked_evaluate("attention", inputs, attributes)[0].item() == 5.0
        assert run(single(inputs, attributes, decomposed=True), feeds(inputs))["y"].item() == 5.0


def test_a_mask_of_minus_infinity_takes_a_key_away() -> None:
    inputs = operands("BSH", 1, 2, (3, 4), (5, 6), 0)
    attributes = {"heads": 2, "scale": 0.5, "layout": "BSH"}
    mask = np.array([0, -np.inf, 0, -np.inf], np.float32)
    masked = checked_evaluate("attention", [*inputs, mask], attributes)[0]
    shorter = checked_evaluate("attention", [inputs[0], inputs[1][:, ::2], inputs[2][:, ::2]], attributes)[0]
    np.testing.assert_allclose(masked, shorter, rtol=ROUNDING, atol=ROUNDING)


def test_a_negative_scale_is_a_negative_query() -> None:
    """onnxruntime takes none."""
    query, key, value = operands("BNSD", 2, 3, (5, 7), (4, 6), 0)
    attributes = {"heads": 3, "layout": "BNSD"}
    (found,) = checked_evaluate("attention", [query, key, value], {**attributes, "scale": -0.7})
    (expected,) = checked_evaluate("attention", [-query, key, value], {**attributes, "scale": 0.7})
    np.testing.assert_array_equal(found, expected)


def test_layouts_are_views_of_each_other() -> None:
    by_heads = operands("BNSD", 2, 3, (5, 7), (4, 6), 0)
    attributes = {"heads": 3, "scale": 0.5}
    joined = [array.transpose(0, 2, 1, 3).reshape(2, -1, 3 * array.shape[3]) for array in by_heads]
    (expected,) = checked_evaluate("attention", by_heads, {**attributes, "layout": "BNSD"})
    (found,) = checked_evaluate("attention", joined, {**attributes, "layout": "BSH"})
    np.testing.assert_array_equal(found, expected.transpose(0, 2, 1, 3).reshape(found.shape))


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("masked", [False, True])
def test_flops_are_those_of_the_decomposition(scale: float, masked: bool) -> None:
    inputs = operands("BSH", 2, 3, (5, 7), (4, 6), 0) + [np.zeros((5, 7), np.float32)] * masked
    attributes = {"heads": 3, "scale": scale, "layout": "BSH"}

    def flops(graph: Graph) -> int:
        return sum(
            lookup(node.operator).flops([x.type for x in node.inputs], [y.type for y in node.outputs], node.attributes)
            for node in graph.nodes
        )

    fused = flops(single(inputs, attributes).entry)
    assert fused == flops(single(inputs, attributes, decomposed=True).entry)
    assert fused == 2 * 3 * 5 * 7 * (2 * 4 + 2 * 6 + 5 + (scale != 1.0) + masked)


def test_extents() -> None:
    types = [TensorType(DType.FLOAT32, shape) for shape in ((2, 5, 12), (2, 7, 12), (2, 7, 18))]
    extents = attention_extents(types, {"heads": 3, "scale": 1.0, "layout": "BSH"})
    assert extents == (2, 3, 5, 7, 4, 6)
    assert extents.scores == (2, 3, 5, 7)


QUERY, KEY, VALUE, MASK = (2, 5, 12), (2, 7, 12), (2, 7, 18), (5, 7)


@pytest.mark.parametrize(
    ("shapes", "changes", "message"),
    [
        ([QUERY, KEY], {}, "attention takes 3 to 4 inputs, but has 2"),
        ([QUERY, KEY, VALUE, MASK, MASK], {}, "attention takes 3 to 4 inputs, but has 5"),
        ([(2, 3, 5, 4), KEY, VALUE], {}, "the query is .* must have 3 dimensions"),
        ([QUERY, KEY, VALUE], {"layout": "BNSD"}, "the query is .* must have 4 dimensions"),
        ([QUERY, KEY, VALUE], {"layout": "SBH"}, "layout is 'SBH', but must be one of BSH, BNSD"),
        ([QUERY, KEY, VALUE], {"heads": 0}, "heads is 0, but must be at least 1"),
        ([QUERY, KEY, VALUE], {"heads": 5}, "12 columns don't divide into 5 heads; fix heads"),
        ([QUERY, KEY, (2, 7, 16)], {}, "the value is .* 16 columns don't divide into 3 heads"),
        ([(2, 3, 5, 4), (2, 3, 7, 4), (2, 2, 7, 4)], {"layout": "BNSD"}, "the value .* has 2 heads, but heads is 3"),
        ([QUERY, (1, 7, 12), VALUE], {}, "whose batches differ; make them equal"),
        ([QUERY, (2, 7, 15), VALUE], {}, "query and key are .* differ in width"),
        ([QUERY, KEY, (2, 6, 18)], {}, "key and value are .* lengths differ"),
        ([QUERY, KEY, VALUE, (7, 5)], {}, r"shapes \[7, 5\] and \[2, 3, 5, 7\] don't broadcast"),
        ([QUERY, KEY, VALUE, (4, 1, 1, 5, 7)], {}, r"the mask is .* must broadcast to \[2, 3, 5, 7\]"),
        ([QUERY, KEY, VALUE], {"scale": float("inf")}, "scale is inf, but must be finite"),
        ([QUERY, KEY, VALUE], {"scale": 1}, "attribute scale is 1, which is not float"),
    ],
)
def test_infer_refuses(shapes: list[tuple[int, ...]], changes: dict[str, Any], message: str) -> None:
    attributes = {"heads": 3, "scale": 1.0, "layout": "BSH"} | changes
    with pytest.raises(GraphError, match=message):
        infer("attention", [TensorType(DType.FLOAT32, shape) for shape in shapes], attributes)


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        ([DType.FLOAT32, DType.FLOAT32, DType.FLOAT16], "operands are float32 and float16; cast one"),
        ([DType.FLOAT16, DType.FLOAT16, DType.FLOAT16, DType.FLOAT32], "operands are float16 and float32; cast one"),
        ([DType.INT32] * 3, "must be floating point"),
    ],
)
def test_infer_refuses_element_types(dtypes: list[DType], message: str) -> None:
    types = [TensorType(dtype, shape) for dtype, shape in zip(dtypes, (QUERY, KEY, VALUE, MASK), strict=False)]
    with pytest.raises(GraphError, match=message):
        infer("attention", types, {"heads": 3, "scale": 1.0, "layout": "BSH"})
