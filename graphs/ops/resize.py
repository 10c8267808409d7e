"""Resizing images (N, C, H, W): every mode is a small weighted sum along height, then along width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType

MODES = ("nearest", "bilinear", "bicubic", "area")
COORDINATES = ("half_pixel", "align_corners", "asymmetric")
_CUBIC_A = -0.75  # the coefficient that torch, MindSpore and ONNX (by default) use


class Taps(NamedTuple):
    """Which input positions make each output position of one axis, and their weights; both (out, taps)."""

    indices: np.ndarray
    weights: np.ndarray


def resize_taps(mode: str, coordinates: str, extent: int, size: int) -> Taps:
    """The taps that resize one axis from `extent` to `size`; weights are float64 and add up to 1.

    nearest: asymmetric is torch's `nearest`, half_pixel its `nearest-exact`, align_corners rounds halves up as
    MindSpore's ResizeNearestNeighbor does. bilinear and bicubic (A = -0.75) repeat the border, as torch's interpolate
    does. area is torch's adaptive_avg_pool2d and has no coordinates.
    """
    if mode == "nearest":
        indices = _nearest(coordinates, extent, size)[:, None]
        return Taps(indices, np.ones(indices.shape))
    if mode == "area":
        return _area(extent, size)
    positions = _positions(coordinates, extent, size)
    if mode == "bilinear":
        positions = np.clip(positions, 0, extent - 1)
        fraction = positions - np.floor(positions)
        weights, first = [1 - fraction, fraction], 0
    else:
        fraction = positions - np.floor(positions)
        weights, first = [_cubic(fraction - offset) for offset in (-1, 0, 1, 2)], -1
    indices = np.floor(positions).astype(np.int64)[:, None] + np.arange(first, first + len(weights))
    return Taps(np.clip(indices, 0, extent - 1), np.stack(weights, axis=1))


def _positions(coordinates: str, extent: int, size: int) -> np.ndarray:
    """Where each output pixel lies on the input's axis."""
    index = np.arange(size, dtype=np.float64)
    if coordinates == "half_pixel":
        return (index + 0.5) * extent / size - 0.5
    if coordinates == "align_corners":
        return index * (extent - 1) / max(size - 1, 1)
    return index * extent / size


def _nearest(coordinates: str, extent: int, size: int) -> np.ndarray:
    """Nearest input index for each output index, in exact integers."""
    index = np.arange(size, dtype=np.int64)
    if coordinates == "half_pixel":
        return (2 * index + 1) * extent // (2 * size)
    if coordinates == "align_corners":
        steps = max(size - 1, 1)
        return (2 * index * (extent - 1) + steps) // (2 * steps)
    return index * extent // size


def _area(extent: int, size: int) -> Taps:
    index = np.arange(size, dtype=np.int64)[:, None]
    start, end = index * extent // size, -((-(index + 1) * extent) // size)
    indices = start + np.arange((end - start).max())
    inside = indices < end
    return Taps(np.minimum(indices, end - 1), inside / (end - start))


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel (1981) for |distance| <= 2."""
    d = np.abs(distance)
    inner = ((_CUBIC_A + 2) * d - (_CUBIC_A + 3)) * d * d + 1
    outer = ((_CUBIC_A * d - 5 * _CUBIC_A) * d + 8 * _CUBIC_A) * d - 4 * _CUBIC_A
    return np.where(d <= 1, inner, outer)


def _infer_resize(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    checks.rank(x, 4, "x")
    checks.choice(attributes, "coordinates", COORDINATES)
    if checks.choice(attributes, "mode", MODES) != "nearest":
        checks.floating(x)
    return (TensorType(x.dtype, (*x.shape[:2], *checks.pair(attributes, "size"))),)


def _resize_axis(x: np.ndarray, axis: int, taps: Taps) -> np.ndarray:
    if taps.indices.shape[1] == 1:
        return np.asarray(np.take(x, taps.indices[:, 0], axis=axis))
    spread = (-1, 1) if axis == 2 else (-1,)
    weights = taps.weights.astype(x.dtype)
    result: np.ndarray = np.take(x, taps.indices[:, 0], axis=axis) * weights[:, 0].reshape(spread)
    for tap in range(1, weights.shape[1]):
        result += np.take(x, taps.indices[:, tap], axis=axis) * weights[:, tap].reshape(spread)
    return result


def _resize(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    (x,) = inputs
    mode, coordinates = str(attributes["mode"]), str(attributes["coordinates"])
    for axis, size in zip((2, 3), checks.pair(attributes, "size"), strict=True):
        x = _resize_axis(x, axis, resize_taps(mode, coordinates, x.shape[axis], size))
    return x


def _flops_resize(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    mode, coordinates = str(attributes["mode"]), str(attributes["coordinates"])
    if mode == "nearest":
        return 0
    batch, channels, height, width = inputs[0].shape
    out_height, out_width = outputs[0].shape[2:]
    vertical = resize_taps(mode, coordinates, height, out_height).weights.shape[1]
    horizontal = resize_taps(mode, coordinates, width, out_width).weights.shape[1]
    return 2 * batch * channels * out_height * (vertical * width + horizontal * out_width)


register(
    Operator(
        "resize",
        1,
        1,
        {"size": (tuple,), "mode": (str,), "coordinates": (str,)},
        _infer_resize,
        rounded(_resize),
        _flops_resize,
    )
)
