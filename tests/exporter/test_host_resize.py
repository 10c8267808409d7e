"""The host loop's resizing against onnxruntime, area against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graphs.onnx_oracle import onnx_node, run_onnx
from hypothesis import given
from hypothesis import strategies as st

from coopdraw.exporter.host_resize import resize

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
# onnxruntime computes positions (up to 9) in float32, which moves weights by 1e-6 and results by a few times that.
TOLERANCE = 2e-5


def images(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)


def in_onnx(image: np.ndarray, size: tuple[int, int], **attributes: object) -> np.ndarray:
    sizes = {"sizes": np.array([*image.shape[:2], *size], np.int64)}
    return run_onnx([onnx_node("Resize", ["x", "", "", "sizes"], **attributes)], {"x": image}, constants=sizes)[0]


@pytest.mark.parametrize(
    ("mode", "attributes"), [("bilinear", {"mode": "linear"}), ("bicubic", {"mode": "cubic", "cubic_coeff_a": -0.75})]
)
@given(before=SIZES, after=SIZES)
def test_interpolation(
    mode: str, attributes: dict[str, object], before: tuple[int, int], after: tuple[int, int]
) -> None:
    wanted = in_onnx(images(before), after, coordinate_transformation_mode="half_pixel", **attributes)
    np.testing.assert_allclose(resize(images(before), after, mode), wanted, rtol=0, atol=TOLERANCE)


@given(before=SIZES, after=SIZES)
def test_nearest_takes_one_pixel(before: tuple[int, int], after: tuple[int, int]) -> None:
    image, found = images(before), resize(images(before), after, "nearest")
    for i, j in np.ndindex(*after):
        pixel = image[..., math.floor(i * before[0] / after[0]), math.floor(j * before[1] / after[1])]
        np.testing.assert_array_equal(found[..., i, j], pixel)


@given(before=SIZES, after=SIZES)
def test_area_is_the_mean_of_what_a_pixel_touches(before: tuple[int, int], after: tuple[int, int]) -> None:
    image, found = images(before).astype(np.float64), resize(images(before), after, "area")
    for where in np.ndindex(*after):
        rows, columns = (
            [k for k in range(extent) if k * wanted < (i + 1) * extent and (k + 1) * wanted > i * extent]
            for i, extent, wanted in zip(where, before, after, strict=True)
        )
        # Both are float64 means of at most 81 numbers near 1.
        mean = image[..., rows, :][..., columns].mean((2, 3))
        np.testing.assert_allclose(found[..., where[0], where[1]], mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_the_same_size_changes_nothing(mode: str) -> None:
    np.testing.assert_array_equal(resize(images((5, 7)), (5, 7), mode), images((5, 7)))
