"""Arithmetic, comparison, logic, rounding, cast, clamp and select against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, checked_evaluate, onnx_node
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer
from coopdraw.graphs.types import DType, TensorType

# numpy and onnxruntime have different float32 libm: both are within 2 ulp, which is 2.4e-7 of the result.
LIBM_RELATIVE = 5e-7
# sin and cos near their zeros are exact only relative to 1.
LIBM_ABSOLUTE = 2e-7

SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-40, np.inf, -np.inf, np.nan], np.float32)

ARITHMETIC = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min"}
COMPARISON = {"equal": "Equal", "less": "Less", "less_equal": "LessOrEqual"}
COMPARISON |= {"greater": "Greater", "greater_equal": "GreaterOrEqual"}
EXACT_UNARY = {"neg": "Neg", "abs": "Abs", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sign": "Sign"}
LIBM_UNARY = {"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos"}


def arrays(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> np.ndarray:
    """Numbers of a few magnitudes, and halves, where roundings differ."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape) * 10.0 ** random.integers(-2, 3, shape)
    values = np.where(random.random(shape) < 0.3, np.round(values * 2) / 2, values)
    return np.asarray(values).astype(dtype)


@pytest.mark.parametrize("name", sorted(ARITHMETIC))
@given(shapes=SHAPES, seed=st.integers(0, 999), dtype=st.sampled_from(["float32", "float64", "int32", "int64"]))
def test_arithmetic(name: str, shapes: hnp.BroadcastableShapes, seed: int, dtype: str) -> None:
    inputs = [arrays(shape, seed + index, dtype) for index, shape in enumerate(shapes.input_shapes)]
    if name == "div" and dtype.startswith("int"):
        with pytest.raises(GraphError, match=r"div: .* must be floating point; cast it first"):
            infer(name, [TensorType.of(array) for array in inputs], {})
        return
    assert_agrees(name, inputs, {}, [onnx_node(ARITHMETIC[name], "01")])


@given(shapes=SHAPES, seed=st.integers(0, 999))
def test_pow(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    base, exponent = (arrays(shape, seed + index) for index, shape in enumerate(shapes.input_shapes))
    inputs = [np.abs(base), np.sin(exponent) * np.float32(3)]
    assert_agrees("pow", inputs, {}, [onnx_node("Pow", "01")], relative=LIBM_RELATIVE)


@pytest.mark.parametrize("name", sorted(COMPARISON))
@given(shapes=SHAPES, seed=st.integers(0, 999), dtype=st.sampled_from(["float32", "int32", "int64"]))
def test_comparison(name: str, shapes: hnp.BroadcastableShapes, seed: int, dtype: str) -> None:
    inputs = [np.round(arrays(shape, seed + index)).astype(dtype) for index, shape in enumerate(shapes.input_shapes)]
    assert_agrees(name, inputs, {}, [onnx_node(COMPARISON[name], "01")])


def test_not_equal_of_special_values() -> None:
    nodes = [onnx_node("Equal", "01", ["e"]), onnx_node("Not", ["e"])]
    assert_agrees("not_equal", [SPECIAL[:, None], SPECIAL], {}, nodes)


@pytest.mark.parametrize("name", sorted(EXACT_UNARY))
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=5), seed=st.integers(0, 999))
def test_exact_unary(name: str, shape: tuple[int, ...], seed: int) -> None:
    assert_agrees(name, [arrays(shape, seed)], {}, [onnx_node(EXACT_UNARY[name], "0")])


@pytest.mark.parametrize("name", sorted(LIBM_UNARY))
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=5), seed=st.integers(0, 999))
def test_libm_unary(name: str, shape: tuple[int, ...], seed: int) -> None:
    x = arrays(shape, seed)
    x = np.clip(x, -80, 80) if name == "exp" else x  # results below the normal range have fewer digits
    nodes = [onnx_node(LIBM_UNARY[name], "0")]
    assert_agrees(name, [x], {}, nodes, relative=LIBM_RELATIVE, absolute=LIBM_ABSOLUTE if name in ("sin", "cos") else 0)


@pytest.mark.parametrize("name", sorted((EXACT_UNARY | LIBM_UNARY).keys() - {"sign"}))  # onnxruntime's sign(nan) is 0
def test_special_values(name: str) -> None:
    x = SPECIAL[np.abs(SPECIAL) != np.float32(1e-40)]  # a flushed denormal is as right as a kept one
    assert_agrees(name, [x], {}, [onnx_node((EXACT_UNARY | LIBM_UNARY)[name], "0")], relative=LIBM_RELATIVE)


@given(shape=hnp.array_shapes(max_dims=3, max_side=5), seed=st.integers(0, 999))
def test_rsqrt_and_square(shape: tuple[int, ...], seed: int) -> None:
    x = np.abs(arrays(shape, seed)) + np.float32(1e-3)
    nodes = [onnx_node("Sqrt", "0", ["s"]), onnx_node("Reciprocal", ["s"])]
    assert_agrees("rsqrt", [x], {}, nodes, relative=LIBM_RELATIVE)
    assert_agrees("square", [x], {}, [onnx_node("Mul", "00")])


@given(shapes=SHAPES, seed=st.integers(0, 999))
def test_logic(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    inputs = [arrays(shape, seed + index) > 0 for index, shape in enumerate(shapes.input_shapes)]
    assert_agrees("logical_and", inputs, {}, [onnx_node("And", "01")])
    assert_agrees("logical_or", inputs, {}, [onnx_node("Or", "01")])
    assert_agrees("logical_not", inputs[:1], {}, [onnx_node("Not", "0")])


BOUNDS = st.none() | st.sampled_from([-2.0, 0.0, 1.0])


@given(minimum=BOUNDS, maximum=BOUNDS, seed=st.integers(0, 999), dtype=st.sampled_from(["float32", "int32", "int64"]))
def test_clamp(minimum: float | None, maximum: float | None, seed: int, dtype: str) -> None:
    constants = {"low": minimum, "high": maximum}
    given_bounds = {key: np.asarray(value, dtype) for key, value in constants.items() if value is not None}
    node = onnx_node("Clip", ["0", *(key if key in given_bounds else "" for key in constants)])
    attributes = {"minimum": minimum, "maximum": maximum}
    if minimum is not None and maximum is not None and minimum > maximum:
        assert np.all(checked_evaluate("clamp", [arrays((5,), seed, dtype)], attributes)[0] == maximum)  # as in torch
        return
    assert_agrees("clamp", [arrays((3, 4), seed, dtype)], attributes, [node], given_bounds)


@pytest.mark.parametrize("bound", [0.5, 300.0, float("nan"), float("inf")])
def test_clamp_of_integers_needs_bounds_of_their_type(bound: float) -> None:
    with pytest.raises(GraphError, match="isn't a value of int8"):
        infer("clamp", [TensorType(DType.INT8, (2,))], {"minimum": None, "maximum": bound})


@given(
    source=st.sampled_from(["float32", "float64", "float16", "int32", "int64", "int8", "uint8", "bool"]),
    target=st.sampled_from(["float32", "float64", "float16", "int32", "int64", "bool"]),
    seed=st.integers(0, 999),
)
def test_cast(source: str, target: str, seed: int) -> None:
    x = np.abs(arrays((4, 3), seed, "float32")).clip(0, 100).astype(source)
    number = {"float32": 1, "float64": 11, "float16": 10, "int32": 6, "int64": 7, "bool": 9}[target]
    assert_agrees("cast", [x], {"dtype": target}, [onnx_node("Cast", "0", to=number)])


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3), seed=st.integers(0, 999))
def test_select(shapes: hnp.BroadcastableShapes, seed: int) -> None:
    condition, a, b = (arrays(shape, seed + index) for index, shape in enumerate(shapes.input_shapes))
    assert_agrees("select", [condition > 0, a, b], {}, [onnx_node("Where", "012")])
