"""Matrix products against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, onnx_node
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer, lookup
from coopdraw.graphs.types import DType, TensorType

# float32 dot products of up to 8 terms around 1, summed in another order: 8 ulp of 8.
SUMS = 8e-6


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@given(
    batches=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3),
    extents=st.tuples(*[st.integers(1, 8)] * 3),
    transpose_a=st.booleans(),
    transpose_b=st.booleans(),
    seed=st.integers(0, 999),
)
def test_matmul(
    batches: hnp.BroadcastableShapes, extents: tuple[int, int, int], transpose_a: bool, transpose_b: bool, seed: int
) -> None:
    rows, inner, columns = extents
    a = numbers((*batches.input_shapes[0], rows, inner), seed)
    b = numbers((*batches.input_shapes[1], inner, columns), seed + 1)
    nodes = []
    inputs = []
    for index, (operand, transposed) in enumerate([(a, transpose_a), (b, transpose_b)]):
        inputs.append(np.ascontiguousarray(np.swapaxes(operand, -1, -2)) if transposed else operand)
        permutation = [*range(operand.ndim - 2), operand.ndim - 1, operand.ndim - 2]
        permutation = permutation if transposed else list(range(operand.ndim))
        nodes.append(onnx_node("Transpose", str(index), [f"t{index}"], perm=permutation))
    nodes.append(onnx_node("MatMul", ["t0", "t1"]))
    assert_agrees(
        "matmul", inputs, {"transpose_a": transpose_a, "transpose_b": transpose_b}, nodes, relative=SUMS, absolute=SUMS
    )


@given(
    leading=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    extents=st.tuples(*[st.integers(1, 8)] * 2),
    bias=st.booleans(),
    seed=st.integers(0, 999),
)
def test_linear(leading: tuple[int, ...], extents: tuple[int, int], bias: bool, seed: int) -> None:
    channels, out_channels = extents
    inputs = [numbers((*leading, channels), seed), numbers((out_channels, channels), seed + 1)]
    nodes = [onnx_node("Transpose", "1", ["t"], perm=[1, 0]), onnx_node("MatMul", ["0", "t"], ["m" if bias else "y"])]
    if bias:
        inputs.append(numbers((out_channels,), seed + 2))
        nodes.append(onnx_node("Add", ["m", "2"]))
    assert_agrees("linear", inputs, {}, nodes, relative=SUMS, absolute=SUMS)


def test_flops_count_a_multiply_add_as_two() -> None:
    x, weight, bias = (TensorType(DType.FLOAT32, shape) for shape in [(5, 3), (4, 3), (4,)])
    linear = lookup("linear")
    assert linear.flops([x, weight], infer("linear", [x, weight], {}), {}) == 5 * 4 * 3 * 2
    assert linear.flops([x, weight, bias], infer("linear", [x, weight, bias], {}), {}) == 5 * 4 * (3 * 2 + 1)
    a, b = TensorType(DType.FLOAT32, (2, 3, 5)), TensorType(DType.FLOAT32, (3, 4))
    attributes = {"transpose_a": True, "transpose_b": False}
    assert lookup("matmul").flops([a, b], infer("matmul", [a, b], attributes), attributes) == 2 * 5 * 4 * 3 * 2


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3), (4, 5)], "so 3 meets 4"),
        ([(3,), (3, 5)], "a is .* at least 2 dimensions"),
        ([(2, 2, 3), (3, 3, 4)], "don't broadcast"),
    ],
)
def test_matmul_refuses(shapes: list[tuple[int, ...]], message: str) -> None:
    types = [TensorType(DType.FLOAT32, shape) for shape in shapes]
    with pytest.raises(GraphError, match=message):
        infer("matmul", types, {"transpose_a": False, "transpose_b": False})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3), (4, 5)], "last extent must be 5"),
        ([(), (4, 5)], "last extent must be 5"),
        ([(2, 5), (5,)], "the weight .* must have 2 dimensions"),
        ([(2, 5), (4, 5), (5,)], r"the bias .* must have shape \[4\]"),
    ],
)
def test_linear_refuses(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer("linear", [TensorType(DType.FLOAT32, shape) for shape in shapes], {})
