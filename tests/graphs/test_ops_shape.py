"""Operators that move elements against onnxruntime; they must agree exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, checked_evaluate, onnx_node
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer
from coopdraw.graphs.types import DType, TensorType

SHAPES = hnp.array_shapes(max_dims=4, max_side=5)
ANY_RANK = hnp.array_shapes(min_dims=0, max_dims=4, max_side=5)
DTYPES = st.sampled_from(["float32", "float16", "int32", "int64"])


def counting(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)


def vector(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@given(shape=ANY_RANK, dtype=DTYPES, data=st.data())
def test_reshape_and_transpose(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    x = counting(shape, dtype)
    permutation = tuple(data.draw(st.permutations(range(len(shape)))))
    target = tuple(shape[axis] for axis in permutation)
    order: dict[str, Any] = (
        {"perm": permutation} if permutation else {}
    )  # onnx can't say of which type an empty list is
    assert_agrees("transpose", [x], {"permutation": permutation}, [onnx_node("Transpose", "0", **order)])
    assert_agrees("reshape", [x], {"shape": target}, [onnx_node("Reshape", "0s")], {"s": vector(*target)})


@given(shape=SHAPES, extents=st.lists(st.integers(1, 3), min_size=1, max_size=4), dtype=DTYPES, data=st.data())
def test_concat_and_split(shape: tuple[int, ...], extents: list[int], dtype: str, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    whole = counting((*shape[:axis], sum(extents), *shape[axis + 1 :]), dtype)
    attributes: dict[str, Any] = {"axis": axis, "sizes": tuple(extents)}
    outputs = [f"y{index}" for index in range(len(extents))] if len(extents) > 1 else ["y"]
    node = onnx_node("Split", "0s", outputs, axis=axis)
    assert_agrees("split", [whole], attributes, [node], {"s": vector(*extents)})
    pieces = checked_evaluate("split", [whole], attributes)
    inputs = [str(index) for index in range(len(pieces))]
    assert_agrees("concat", pieces, {"axis": axis}, [onnx_node("Concat", inputs, axis=axis)])


@given(shape=SHAPES, dtype=DTYPES, data=st.data())
def test_slice(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    begin = tuple(data.draw(st.integers(0, extent - 1)) for extent in shape)
    end = tuple(data.draw(st.integers(first + 1, extent)) for first, extent in zip(begin, shape, strict=True))
    stride = tuple(data.draw(st.integers(1, 6)) for _ in shape)
    constants = {"b": vector(*begin), "e": vector(*end), "a": vector(*range(len(shape))), "s": vector(*stride)}
    attributes = {"begin": begin, "end": end, "stride": stride}
    assert_agrees("slice", [counting(shape, dtype)], attributes, [onnx_node("Slice", "0beas")], constants)


@given(shape=SHAPES, value=st.sampled_from([0.0, -2.0, 7.0]), dtype=DTYPES, data=st.data())
def test_pad(shape: tuple[int, ...], value: float, dtype: str, data: st.DataObject) -> None:
    before, after = (tuple(data.draw(st.integers(0, 3)) for _ in shape) for _ in range(2))
    constants = {"p": vector(*before, *after), "v": np.array(value, dtype)}
    attributes: dict[str, Any] = {"before": before, "after": after, "value": value}
    assert_agrees("pad", [counting(shape, dtype)], attributes, [onnx_node("Pad", "0pv")], constants)


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=5), dtype=DTYPES)
def test_broadcast_to(shapes: hnp.BroadcastableShapes, dtype: str) -> None:
    x, target = counting(shapes.input_shapes[0], dtype), shapes.result_shape
    assert_agrees("broadcast_to", [x], {"shape": target}, [onnx_node("Expand", "0s")], {"s": vector(*target)})


@given(shape=SHAPES, dtype=DTYPES, data=st.data())
def test_tile(shape: tuple[int, ...], dtype: str, data: st.DataObject) -> None:
    repeats = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    nodes = [onnx_node("Tile", "0r")]
    assert_agrees("tile", [counting(shape, dtype)], {"repeats": repeats}, nodes, {"r": vector(*repeats)})


@given(shape=SHAPES, indices=hnp.array_shapes(min_dims=0, max_dims=2, max_side=4), data=st.data())
def test_gather(shape: tuple[int, ...], indices: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    dtype = data.draw(st.sampled_from(["int32", "int64"]))
    chosen = np.asarray(np.random.default_rng(0).integers(0, shape[axis], indices)).astype(dtype)
    assert_agrees("gather", [counting(shape), chosen], {"axis": axis}, [onnx_node("Gather", "01", axis=axis)])


@pytest.mark.parametrize("index", [-1, 3])
def test_gather_refuses_indices_outside(index: int) -> None:
    with pytest.raises(GraphError, match=r"indices run from .* but must be in 0\.\.2"):
        checked_evaluate("gather", [counting((3,)), vector(0, index)], {"axis": 0})


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("reshape", [(2, 3)], {"shape": (5,)}, "6 elements don't fill"),
        ("reshape", [(2, 3)], {"shape": (-1, 2)}, "shape is .* at least 1"),
        ("transpose", [(2, 3)], {"permutation": (0, 0)}, "must order the 2 axes"),
        ("transpose", [(2, 3)], {"permutation": (1,)}, "must order the 2 axes"),
        ("concat", [(2, 3), (2, 4)], {"axis": 0}, "may differ only along axis 0"),
        ("concat", [(2, 3), (2,)], {"axis": 0}, "may differ only along axis 0"),
        ("concat", [(2, 3), (2, 3)], {"axis": -1}, "axis is -1, but must be in 0..1"),
        ("concat", [(), ()], {"axis": 0}, "a 0-d operand has no axes"),
        ("split", [(4,)], {"axis": 0, "sizes": (1, 2)}, "must add up to extent 4"),
        ("split", [(4,)], {"axis": 0, "sizes": (4, 0)}, "sizes is .* at least 1"),
        ("slice", [(4,)], {"begin": (0,), "end": (5,), "stride": (1,)}, r"stay within 0\.\.4"),
        ("slice", [(4,)], {"begin": (2,), "end": (2,), "stride": (1,)}, "cut from 2 to 2"),
        ("slice", [(4,)], {"begin": (0,), "end": (4,), "stride": (-1,)}, "stride is .* at least 1"),
        ("slice", [(4, 4)], {"begin": (0,), "end": (4,), "stride": (1,)}, "begin is .* must have 2 elements"),
        ("pad", [(4,)], {"before": (-1,), "after": (0,), "value": 0.0}, "before is .* at least 0"),
        ("pad", [(4,)], {"before": (1,), "after": (0,), "value": 0}, "value is 0, which is not float"),
        ("broadcast_to", [(4,)], {"shape": (3,)}, "don't broadcast"),
        ("broadcast_to", [(4,)], {"shape": (1,)}, "doesn't broadcast to"),
        ("tile", [(4,)], {"repeats": (1, 1)}, "repeats is .* must have 1 elements"),
        ("gather", [(4,), (2,)], {"axis": 0}, "must be int32 or int64"),
    ],
)
def test_refuses(name: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=f"{name}: .*{message}"):
        infer(name, [TensorType(DType.FLOAT32, shape) for shape in shapes], attributes)
