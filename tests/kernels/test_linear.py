"""Dense layers against their reference in float64: shapes that fill no tile, threads, and calls that don't fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calling import STATUS, Library, make_node, reference

from coopdraw.kernels.cpu.selection import cpu_kernel, cpu_refusal

Libraries = Callable[[str, int], Library]


def operands(shape: tuple[int, ...], columns: int, bias: bool, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = [shape, (columns, shape[-1]), *([(columns,)] if bias else [])]
    return [generator.standard_normal(shape, np.float32) for shape in shapes]


def check(library: Library, inputs: list[np.ndarray]) -> np.ndarray:
    (got,) = library.run("linear", inputs)
    (want,) = reference("linear", inputs)
    (largest,) = reference("linear", [np.abs(array) for array in inputs])
    # Roundings of partial sums are below 6e-8 of the sum of magnitudes each; over blocks of 256 they largely cancel.
    assert (np.abs(got - want) <= 2e-6 * largest).all()
    return got


@settings(max_examples=80)
@given(data=st.data())
def test_any_shape(library: Library, data: st.DataObject) -> None:
    leading = data.draw(st.lists(st.integers(1, 9), max_size=3))
    depth, columns = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 120))
    check(library, operands((*leading, depth), columns, data.draw(st.booleans()), data.draw(st.integers(0, 99))))


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 7, 17, 300])
@pytest.mark.parametrize(("depth", "columns"), [(64, 512), (257, 49), (768, 33), (1280, 320)])
def test_rows_of_diffusion_models(library: Library, rows: int, depth: int, columns: int) -> None:
    check(library, operands((2, rows, depth), columns, bias=True))


@pytest.mark.parametrize("shape", [(2, 1280), (2048, 128), (1, 513, 64)])
def test_threads_do_not_change_a_bit(libraries: Libraries, shape: tuple[int, ...]) -> None:
    inputs = operands(shape, 1280, bias=True)
    one, two = (check(libraries("avx2", threads), inputs) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_product_with_a_transposed_matrix_is_a_layer_without_bias(library: Library) -> None:
    x, weight = operands((2, 9, 40), 30, bias=False)
    (got,) = library.run("matmul", [x, weight], transpose_a=False, transpose_b=True)
    np.testing.assert_array_equal(got, check(library, [x, weight]))


@pytest.mark.parametrize(
    ("shapes", "transposed"),
    [
        (((4, 5), (5, 6)), (False, False)),
        (((5, 4), (6, 5)), (True, True)),
        (((2, 4, 5), (2, 6, 5)), (False, True)),
    ],
)
def test_other_products_are_refused(shapes: tuple[tuple[int, ...], ...], transposed: tuple[bool, bool]) -> None:
    attributes = dict(zip(("transpose_a", "transpose_b"), transposed, strict=True))
    node = make_node("matmul", [np.zeros(shape, np.float32) for shape in shapes], attributes)
    assert cpu_kernel(node) is None
    assert "takes a transposed matrix as b" in (cpu_refusal(node) or "")


def test_nan_and_infinity_stay_in_their_row(library: Library) -> None:
    for rows in (2, 40):
        inputs = operands((rows, 70), 50, bias=True)
        inputs[0][1, 3] = np.inf
        (got,) = library.run("linear", inputs)
        assert not np.isfinite(got[1]).any()
        assert np.isfinite(got[0]).all()
        assert np.isfinite(got[2:]).all()


@pytest.mark.parametrize(
    ("shapes", "out", "status"),
    [
        ([(3, 4), (5, 4), (5,)], (3, 5), "ok"),
        ([(2, 3, 4), (5, 4)], (2, 3, 5), "ok"),
        ([(0, 4), (5, 4), (5,)], (0, 5), "ok"),
        ([(3, 4), (5, 3), (5,)], (3, 5), "shape"),
        ([(3, 4), (5, 4), (4,)], (3, 5), "shape"),
        ([(3, 4), (5, 4), (5, 1)], (3, 5), "shape"),
        ([(3, 4), (5, 4, 1), (5,)], (3, 5), "shape"),
        ([(3, 4), (5, 4), (5,)], (3, 6), "shape"),
        ([(3, 4), (5, 4), (5,)], (4, 5), "shape"),
        ([(2, 3, 4), (5, 4), (5,)], (3, 2, 5), "shape"),
        ([(3, 4), (5, 4), (5,)], (3, 5, 1), "shape"),
        ([(), (5, 4), (5,)], (5,), "shape"),
        ([(3, 4)], (3, 5), "count"),
        ([(3, 4), (5, 4), (5,), (5,)], (3, 5), "count"),
    ],
)
def test_calls_that_do_not_fit(
    libraries: Libraries, shapes: list[tuple[int, ...]], out: tuple[int, ...], status: str
) -> None:
    result = np.full(out, 7.0, np.float32)
    arrays = [*(np.ones(shape, np.float32) for shape in shapes), np.zeros(1), result]
    assert libraries("avx512", 2).call("coopdraw_linear", arrays) == STATUS[status]
    if status != "ok":
        np.testing.assert_array_equal(result, 7.0)
