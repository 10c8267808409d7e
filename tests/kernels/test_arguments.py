"""Arguments that don't fit return a status, and nothing is read or written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from kernels.calling import STATUS, Library

NODES: dict[str, tuple[list[tuple[int, ...]], list[float], list[tuple[int, ...]]]] = {
    "attention": ([(3, 5, 8), (3, 7, 8), (3, 7, 4), (1, 1, 5, 7)], [4, 0.5, 0], [(3, 5, 4)]),
    "fused_group_norm": (
        [(2, 4, 9), (4,), (4,), (2, 4, 9), (2, 4), (2, 4)],
        [2, 1e-5, 1, 2, 1, 1],
        [(2, 4, 9), (2, 4, 9)],
    ),
    "fused_layer_norm": ([(3, 4), (4,), (4,), (3, 4)], [1e-5, 1], [(3, 4), (3, 4)]),
    "geglu": ([(3, 8), (8,)], [0, 1], [(3, 4)]),
    "bias_activation": ([(2, 3, 5), (3,)], [1, 4], [(2, 3, 5)]),
    "linear_combination": ([(2, 3), (2, 3)], [1, -1], [(2, 3)]),
}
"""A call that is right: shapes of inputs, attributes, shapes of outputs."""

Change = Callable[[list[np.ndarray], int], None]


@pytest.fixture(scope="module")
def own_library(libraries: Callable[[str, int], Library]) -> Library:
    return libraries("avx512", 2)


def arrays_of(operator: str) -> tuple[list[np.ndarray], int]:
    inputs, attributes, outputs = NODES[operator]
    arrays = [np.ones(shape, np.float32) for shape in inputs]
    arrays.append(np.array(attributes, np.float64))
    return [*arrays, *(np.full(shape, 7.0, np.float32) for shape in outputs)], len(inputs)


def status(library: Library, operator: str, arrays: list[np.ndarray]) -> int:
    return library.call(f"coopdraw_{operator}", arrays)


@pytest.mark.parametrize("operator", NODES)
def test_the_call_that_is_right(own_library: Library, operator: str) -> None:
    arrays, _ = arrays_of(operator)
    assert status(own_library, operator, arrays) == STATUS["ok"]


@pytest.mark.parametrize("operator", NODES)
def test_any_other_shape_is_refused(own_library: Library, operator: str) -> None:
    """Each tensor in turn: longer along each axis, another rank."""
    arrays, inputs = arrays_of(operator)
    for index, array in enumerate(arrays):
        if index == inputs:
            continue
        longer = [np.ones([n + 1 if i == axis else n for i, n in enumerate(array.shape)]) for axis in range(array.ndim)]
        for other in (*longer, np.ones((*array.shape, 1)), np.ones(())):
            if operator == "attention" and index == 3 and not other.ndim:
                continue  # a mask of one number is right, too
            changed = [*arrays]
            changed[index] = other.astype(np.float32)
            assert status(own_library, operator, changed) in (STATUS["shape"], STATUS["attribute"]), (
                index,
                other.shape,
            )


@pytest.mark.parametrize("operator", NODES)
def test_a_missing_or_further_tensor_is_refused(own_library: Library, operator: str) -> None:
    arrays, inputs = arrays_of(operator)
    refused = (STATUS["count"], STATUS["attribute"], STATUS["shape"])
    for index in range(len(arrays)):
        # An attention without its mask and a GEGLU without its bias are right, too.
        if index == inputs - 1 and operator in ("attention", "geglu"):
            continue
        fewer = arrays[:index] + arrays[index + 1 :]
        assert status(own_library, operator, fewer) in refused, index
        more = [*arrays[:index], np.ones((1,), np.float32), *arrays[index:]]
        assert status(own_library, operator, more) in refused, index
    assert status(own_library, operator, []) == STATUS["count"]


@pytest.mark.parametrize("operator", NODES)
def test_another_type_is_refused(own_library: Library, operator: str) -> None:
    arrays, inputs = arrays_of(operator)
    for index, array in enumerate(arrays):
        for dtype in (np.float16, np.int64) if index == inputs else (np.float16, np.float64, np.int32):
            changed = [*arrays]
            changed[index] = array.astype(dtype)
            assert status(own_library, operator, changed) == STATUS["type"]


@pytest.mark.parametrize("operator", [name for name in NODES if name != "linear_combination"])
def test_attributes_outside_their_range_are_refused(own_library: Library, operator: str) -> None:
    """Numbers that no definition writes; scale and epsilon may be any number."""
    arrays, inputs = arrays_of(operator)
    free = {"attention": 1, "fused_group_norm": 1, "fused_layer_norm": 0}.get(operator)
    for index in range(len(arrays[inputs])):
        for value in (-1.0, 0.5, 1e300, np.nan, np.inf):
            if index == free:
                continue
            changed = [*arrays]
            changed[inputs] = arrays[inputs].copy()
            changed[inputs][index] = value
            assert status(own_library, operator, changed) == STATUS["attribute"], (index, value)
    changed = [*arrays]
    changed[inputs] = arrays[inputs][:-1]
    assert status(own_library, operator, changed) == STATUS["attribute"]


@pytest.mark.parametrize("operator", NODES)
def test_a_refused_call_writes_nothing(own_library: Library, operator: str) -> None:
    arrays, inputs = arrays_of(operator)
    arrays[0] = np.ones((*arrays[0].shape, 1), np.float32)
    assert status(own_library, operator, arrays) != STATUS["ok"]
    for output in arrays[inputs + 1 :]:
        np.testing.assert_array_equal(output, 7.0)


@pytest.mark.parametrize("operator", [name for name in NODES if name != "attention"])
def test_empty_tensors(own_library: Library, operator: str) -> None:
    """A batch of none has nothing to compute."""
    inputs, attributes, outputs = NODES[operator]
    batched = {(2, 4, 9), (2, 4), (3, 4), (3, 8), (2, 3, 5), (2, 3)}
    arrays = [np.ones((0, *shape[1:]) if shape in batched else shape, np.float32) for shape in inputs]
    arrays.append(np.array(attributes, np.float64))
    arrays += [np.ones((0, *shape[1:]), np.float32) for shape in outputs]
    assert status(own_library, operator, arrays) == STATUS["ok"]
