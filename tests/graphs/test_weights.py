"""Weights made of others: read part by part, the same bytes as if they had been stored so."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopdraw.graphs.errors import WeightError
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, ConcatenatedWeight, FileWeight, ScaledWeight, Weight


@dataclass(frozen=True)
class Generated(Weight):
    """Ones that are made when they are read."""

    type: TensorType

    def read(self) -> np.ndarray:
        return np.ones(self.type.shape, self.type.dtype.numpy)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that NumPy and Python held for `work` at one time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def stored(folder: Path, array: np.ndarray, pieces: tuple[int, ...]) -> FileWeight:
    """The array in a file, its bytes cut into pieces with a gap before each."""
    data, content, segments, begin = array.tobytes(), b"", [], 0
    for size in pieces:
        content += b"??"
        segments.append((len(content), size))
        content += data[begin : begin + size]
        begin += size
    path = folder / "weights.bin"
    path.write_bytes(content)
    return FileWeight(path, tuple(segments), TensorType.of(array), TensorType.of(array))


@given(
    rows=st.lists(st.integers(1, 4), min_size=1, max_size=4), dtype=st.sampled_from(["float32", "float16", "bfloat16"])
)
def test_concatenated_weight_is_the_concatenation(rows: list[int], dtype: str) -> None:
    arrays = [
        np.arange(count * 6).reshape(count, 2, 3).astype(DType(dtype).numpy) + index for index, count in enumerate(rows)
    ]
    weight = ConcatenatedWeight({f"part.{index}": ArrayWeight(array) for index, array in enumerate(arrays)})
    wanted = np.concatenate(arrays)
    assert weight.type == TensorType.of(wanted)
    np.testing.assert_array_equal(weight.read(), wanted)
    assert weight.sha256() == hashlib.sha256(wanted.tobytes()).hexdigest() == ArrayWeight(wanted).sha256()
    for index, array in enumerate(arrays):
        begin, end = weight.rows()[f"part.{index}"]
        np.testing.assert_array_equal(weight.read()[begin:end], array)


def test_concatenated_weight_holds_one_part_at_a_time() -> None:
    part = Generated(TensorType(DType.FLOAT32, (256, 1024)))
    weight = ConcatenatedWeight(dict.fromkeys("abcdefgh", part))
    assert peak_bytes(weight.sha256) < 2 * part.type.nbytes
    assert peak_bytes(weight.read) < weight.type.nbytes + 2 * part.type.nbytes


@pytest.mark.parametrize("other", [np.ones((2, 4), np.float32), np.ones((2, 3), np.float16), np.ones((), np.float32)])
def test_parts_that_differ_in_more_than_rows_are_refused(other: np.ndarray) -> None:
    with pytest.raises(WeightError, match="only if they differ in their first extent"):
        ConcatenatedWeight({"a": ArrayWeight(np.ones((5, 3), np.float32)), "b": ArrayWeight(other)})


def test_scaled_weight_is_rounded_once() -> None:
    original = np.array([[1.0, 3.0], [5.0, 7.0]], np.float16)
    weight = ScaledWeight(ArrayWeight(original), np.array([[1 / 3], [-0.1]]))
    assert weight.type == TensorType.of(original)
    wanted = np.array([[1 / 3, 1.0], [-0.5, -0.7]]).astype(np.float16)
    # exact products are rounded to the nearest number of the type
    np.testing.assert_array_equal(weight.read(), wanted)
    narrow = ScaledWeight(ArrayWeight(original.astype(ml_dtypes.bfloat16)), np.array(2.0))
    assert narrow.read().dtype == ml_dtypes.bfloat16


@given(begin=st.integers(0, 4), count=st.integers(1, 5), cut=st.integers(1, 59))
def test_rows_of_a_file(tmp_path_factory: pytest.TempPathFactory, begin: int, count: int, cut: int) -> None:
    array = np.arange(15, dtype=np.float32).reshape(5, 3)
    weight = stored(tmp_path_factory.mktemp("rows"), array, (cut, 60 - cut))
    end = min(5, begin + count)
    piece = weight.rows(begin, end)
    assert piece.type == TensorType(DType.FLOAT32, (end - begin, 3))
    np.testing.assert_array_equal(piece.read(), array[begin:end])
    np.testing.assert_array_equal(weight.as_dtype(DType.FLOAT16).rows(begin, end).read(), array[begin:end])


@pytest.mark.parametrize(("begin", "end"), [(0, 6), (2, 2), (3, 1), (-1, 2)])
def test_rows_outside_are_refused(tmp_path: Path, begin: int, end: int) -> None:
    weight = stored(tmp_path, np.ones((5, 3), np.float32), (60,))
    with pytest.raises(WeightError, match=f"has no rows {begin} to {end}"):
        weight.rows(begin, end)
