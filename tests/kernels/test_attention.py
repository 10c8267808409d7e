"""Attention against its reference in float64: shapes that fill no block, masks, extremes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calling import Library, reference

MASKS = (None, (1, 1, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (0, 0, 0, 1), (1, 1, 1, 0), (0, 0, 1, 1))
"""Which axes of (batch, heads, queries, keys) a mask spans."""


def check(library: Library, inputs: list[np.ndarray], layout: str, heads: int, scale: float) -> np.ndarray:
    (got,) = library.run("attention", inputs, heads=heads, scale=scale, layout=layout)
    (want,) = reference("attention", inputs, heads=heads, scale=scale, layout=layout)
    query, key, value = inputs[:3]
    # A score is off by a few roundings of its largest partial sum, and so is its exponential, relatively.
    largest = scale * np.abs(query).max() * np.abs(key).max() * min(query.shape[-1], key.shape[-1])
    tolerance = (1e-6 + 1.2e-7 * largest) * np.abs(value).max() + 1e-30
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
    return got


def operands(
    seed: int, layout: str, batch: int, heads: int, queries: int, keys: int, depth: int, width: int
) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = [(queries, depth), (keys, depth), (keys, width)]
    arrays = [generator.standard_normal((batch, heads, *shape), np.float32) for shape in shapes]
    if layout == "BNSD":
        return arrays
    return [np.ascontiguousarray(np.moveaxis(array, 1, 2)).reshape(batch, array.shape[2], -1) for array in arrays]


@settings(max_examples=60)
@given(data=st.data())
def test_any_shape(library: Library, data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(["BSH", "BNSD"]))
    batch, heads = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    queries, keys = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 300))
    depth, width = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    inputs = operands(data.draw(st.integers(0, 99)), layout, batch, heads, queries, keys, depth, width)
    spans = data.draw(st.sampled_from(MASKS))
    if spans is not None:
        extents = (batch, heads, queries, keys)
        shape = [extent if spanned else 1 for extent, spanned in zip(extents, spans, strict=True)]
        while shape[0] == 1 and len(shape) > 1 and data.draw(st.booleans()):
            shape = shape[1:]  # leading axes may be missing altogether
        inputs.append(np.random.default_rng(1).standard_normal(shape, np.float32))
    check(library, inputs, layout, heads, depth**-0.5)


@pytest.mark.parametrize("depth", [8, 40, 64, 80, 160])
@pytest.mark.parametrize("keys", [77, 256])
def test_head_widths_of_diffusion_models(library: Library, depth: int, keys: int) -> None:
    check(library, operands(0, "BSH", 2, 2, 256, keys, depth, depth), "BSH", 2, depth**-0.5)


def test_many_tokens(library: Library) -> None:
    check(library, operands(0, "BSH", 1, 1, 4096, 4096, 8, 8), "BSH", 1, 8**-0.5)


@pytest.mark.parametrize("magnitude", [0.0, 1e-20, 30.0, 1e4])
def test_magnitudes(library: Library, magnitude: float) -> None:
    """Up to scores of thousands, where all weight falls on one key."""
    query, key, value = operands(2, "BNSD", 1, 2, 70, 200, 16, 16)
    check(library, [query * np.float32(magnitude), key, value], "BNSD", 2, 0.25)


def test_equal_keys_average_the_values(library: Library) -> None:
    query, key, value = operands(3, "BNSD", 1, 1, 5, 333, 9, 11)
    key[:] = key[:, :, :1]
    got = check(library, [query, key, value], "BNSD", 1, 0.3)
    np.testing.assert_allclose(got[0, 0], np.broadcast_to(value[0, 0].mean(axis=0), (5, 11)), atol=1e-6)


@pytest.mark.parametrize("least", [-np.inf, -1e4, np.finfo(np.float32).min])
def test_masked_keys_have_no_weight(library: Library, least: float) -> None:
    """Rows with any number of keys left, also with none in the first blocks of keys."""
    query, key, value = operands(4, "BNSD", 1, 2, 40, 300, 8, 8)
    left = np.random.default_rng(5).random((1, 1, 40, 300)) < np.linspace(0.01, 1.0, 40)[:, None]
    left[..., 0, :] = False
    left[..., 0, 299] = True
    mask = np.where(left, 0.0, least).astype(np.float32)
    got = check(library, [query, key, value, mask], "BNSD", 2, 0.35)
    np.testing.assert_array_equal(got[:, :, 0], value[:, :, 299])  # all other weights underflow to 0


def test_a_row_without_keys_is_nan_as_in_the_reference(library: Library) -> None:
    query, key, value = operands(6, "BNSD", 1, 1, 3, 130, 4, 4)
    mask = np.zeros((3, 130), np.float32)
    mask[1] = -np.inf
    (got,) = library.run("attention", [query, key, value, mask], heads=1, scale=1.0, layout="BNSD")
    assert np.isnan(got[0, 0, 1]).all()
    assert np.isfinite(got[0, 0, [0, 2]]).all()


def test_a_row_masked_by_the_least_float_averages_as_in_the_reference(library: Library) -> None:
    query, key, value = operands(7, "BNSD", 1, 1, 2, 130, 4, 4)
    mask = np.full((1, 1, 1, 130), np.finfo(np.float32).min)
    (got,) = library.run("attention", [query, key, value, mask], heads=1, scale=1e-12, layout="BNSD")
    np.testing.assert_allclose(got[0, 0], np.broadcast_to(value[0, 0].mean(axis=0), (2, 4)), atol=1e-6)


@pytest.mark.parametrize("operand", range(3))
def test_nan_and_infinity_come_through(library: Library, operand: int) -> None:
    """Where the reference in float32 is not a number, neither is the result, and nowhere else."""
    inputs = operands(8, "BNSD", 1, 1, 70, 140, 8, 8)
    for bad in (np.nan, np.inf):
        inputs[operand][0, 0, 3, 2] = bad
        (got,) = library.run("attention", inputs, heads=1, scale=0.3, layout="BNSD")
        (want,) = reference("attention", inputs, heads=1, scale=0.3, layout="BNSD")
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
