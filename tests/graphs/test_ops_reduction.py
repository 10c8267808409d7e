"""Reductions against onnxruntime."""

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

ONNX = {"reduce_sum": "ReduceSum", "reduce_mean": "ReduceMean", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}


@pytest.mark.parametrize("name", sorted(ONNX))
@given(
    shape=hnp.array_shapes(max_dims=4, max_side=5),
    dtype=st.sampled_from(["float32", "float64", "int32", "int64"]),
    keepdims=st.booleans(),
    data=st.data(),
)
def test_reductions(name: str, shape: tuple[int, ...], dtype: str, keepdims: bool, data: st.DataObject) -> None:
    axes = tuple(data.draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True)))
    x = (np.random.default_rng(0).standard_normal(shape) * 10).astype("float32" if name == "reduce_mean" else dtype)
    node = onnx_node(ONNX[name], ["0", "axes"], keepdims=int(keepdims))
    # sums of up to 625 numbers around 10, in another order: 1e-6 of their magnitudes' sum
    absolute = 5e-3 if name == "reduce_sum" else 1e-5
    constants = {"axes": np.array(axes, np.int64)}
    exact = name in ("reduce_max", "reduce_min") or dtype.startswith("int")
    assert_agrees(
        name,
        [x],
        {"axes": axes, "keepdims": keepdims},
        [node],
        constants,
        absolute=0 if exact and "mean" not in name else absolute,
    )


def test_integer_sums_keep_their_type_and_wrap() -> None:
    x = np.array([np.iinfo(np.int32).max, 1], np.int32)
    (result,) = checked_evaluate("reduce_sum", [x], {"axes": (0,), "keepdims": False})
    assert result == np.iinfo(np.int32).min


@pytest.mark.parametrize("axes", [(), (0, 0), (2,), (-1,), (0.0,)])
def test_refuses_axes(axes: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="reduce_sum: axes is"):
        infer("reduce_sum", [TensorType(DType.FLOAT32, (2, 3))], {"axes": axes, "keepdims": True})


def test_mean_of_integers_is_refused() -> None:
    with pytest.raises(GraphError, match="must be floating point"):
        infer("reduce_mean", [TensorType(DType.INT32, (2,))], {"axes": (0,), "keepdims": True})
