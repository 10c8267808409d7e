"""Every mode and coordinate system of resize against onnxruntime, area against its definition."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, checked_evaluate, onnx_node
from hypothesis import assume, given
from hypothesis import strategies as st

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer
from coopdraw.graphs.types import DType, TensorType

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
COORDINATES = st.sampled_from(["half_pixel", "align_corners", "asymmetric"])
# onnxruntime computes positions (up to 9) in float32, which moves weights by 1e-6 and results by a few times that.
WEIGHTS = 2e-5

# How ONNX names the rounding that each coordinate system goes with.
NEAREST_ROUNDING = {"half_pixel": "round_prefer_ceil", "align_corners": "round_prefer_ceil", "asymmetric": "floor"}


def images(image: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, *image)).astype(np.float32)


def resize(mode: str, coordinates: str, size: tuple[int, int]) -> dict[str, Any]:
    return {"mode": mode, "coordinates": coordinates, "size": size}


def position(coordinates: str, index: int, extent: int, size: int) -> Fraction:
    """Where an output index lies on the input's axis, exactly."""
    if coordinates == "align_corners":
        return Fraction(index * (extent - 1), max(size - 1, 1))
    offset = Fraction(1, 2) if coordinates == "half_pixel" else Fraction(0)
    return (index + offset) * Fraction(extent, size) - offset


def is_a_tie(coordinates: str, extent: int, size: int) -> bool:
    """Whether some position is exactly where the nearest index changes, so that float32 may fall either way."""
    threshold = Fraction(0) if coordinates == "asymmetric" else Fraction(1, 2)
    positions = [position(coordinates, index, extent, size) for index in range(1, size)]
    return any((where - threshold).denominator == 1 for where in positions)


@given(image=SIZES, size=SIZES, coordinates=COORDINATES)
def test_nearest(image: tuple[int, int], size: tuple[int, int], coordinates: str) -> None:
    for extent, wanted in zip(image, size, strict=True):
        power_of_two = extent * wanted & (extent * wanted - 1) == 0  # float32 positions are exact
        assume(power_of_two or not is_a_tie(coordinates, extent, wanted))
    node = onnx_node(
        "Resize",
        ["0", "", "", "sizes"],
        mode="nearest",
        coordinate_transformation_mode=coordinates,
        nearest_mode=NEAREST_ROUNDING[coordinates],
    )
    constants = {"sizes": np.array([2, 3, *size], np.int64)}
    assert_agrees("resize", [images(image)], resize("nearest", coordinates, size), [node], constants)


@given(image=SIZES, size=SIZES)
def test_nearest_asymmetric_is_the_exact_floor(image: tuple[int, int], size: tuple[int, int]) -> None:
    rows, columns = (
        [int(position("asymmetric", index, extent, wanted)) for index in range(wanted)]
        for extent, wanted in zip(image, size, strict=True)
    )
    x = np.arange(image[0] * image[1], dtype=np.int32).reshape(1, 1, *image)
    (result,) = checked_evaluate("resize", [x], resize("nearest", "asymmetric", size))
    np.testing.assert_array_equal(result, x[:, :, rows][..., columns])


@given(image=SIZES, size=SIZES, coordinates=COORDINATES, mode=st.sampled_from(["bilinear", "bicubic"]))
def test_bilinear_and_bicubic(image: tuple[int, int], size: tuple[int, int], coordinates: str, mode: str) -> None:
    node = onnx_node(
        "Resize",
        ["0", "", "", "sizes"],
        mode={"bilinear": "linear", "bicubic": "cubic"}[mode],
        coordinate_transformation_mode=coordinates,
        cubic_coeff_a=-0.75,
    )
    constants = {"sizes": np.array([2, 3, *size], np.int64)}
    x = images(image)
    assert_agrees("resize", [x], resize(mode, coordinates, size), [node], constants, absolute=WEIGHTS)


@given(image=SIZES, size=SIZES, coordinates=COORDINATES)
def test_area_is_the_mean_of_each_window(image: tuple[int, int], size: tuple[int, int], coordinates: str) -> None:
    x = images(image)
    (result,) = checked_evaluate("resize", [x], resize("area", coordinates, size))
    for row, column in np.ndindex(size):
        windows = [
            slice(index * extent // wanted, -(-(index + 1) * extent // wanted))
            for index, extent, wanted in zip((row, column), image, size, strict=True)
        ]
        expected = x[:, :, windows[0], windows[1]].astype(np.float64).mean(axis=(2, 3))
        # float32 sums of up to 81 terms around 1
        np.testing.assert_allclose(result[:, :, row, column], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric"])
def test_same_size_changes_nothing(mode: str, coordinates: str) -> None:
    x = images((5, 4))
    np.testing.assert_array_equal(checked_evaluate("resize", [x], resize(mode, coordinates, (5, 4)))[0], x)


@pytest.mark.parametrize(
    ("type", "attributes", "message"),
    [
        (TensorType(DType.FLOAT32, (3, 4, 4)), resize("area", "half_pixel", (2, 2)), "x is .* 4 dimensions"),
        (TensorType(DType.INT32, (1, 3, 4, 4)), resize("bilinear", "half_pixel", (2, 2)), "must be floating point"),
        (TensorType(DType.FLOAT32, (1, 3, 4, 4)), resize("cubic", "half_pixel", (2, 2)), "mode is 'cubic'"),
        (TensorType(DType.FLOAT32, (1, 3, 4, 4)), resize("area", "corners", (2, 2)), "coordinates is 'corners'"),
        (TensorType(DType.FLOAT32, (1, 3, 4, 4)), resize("area", "half_pixel", (0, 2)), "size is .* at least 1"),
    ],
)
def test_refuses(type: TensorType, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer("resize", [type], attributes)
