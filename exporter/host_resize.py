"""Resizes images in NumPy for the host loop: every mode is one weight matrix for the rows and one for the columns.

The modes are PyTorch's `interpolate` with `align_corners=False` and without antialiasing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_CUBIC_A = -0.75


def resize(image: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """(B, C, H, W) to (B, C, *size), float64; `mode` is nearest, bilinear, bicubic or area."""
    rows, columns = (_MODES[mode](inputs, outputs) for inputs, outputs in zip(image.shape[2:], size, strict=True))
    result: np.ndarray = rows @ image.astype(np.float64) @ columns.T
    return result


def fit(image: np.ndarray, size: tuple[int, int], mode: str | None = None) -> np.ndarray:
    """`resize` without a mode grows images with bilinear interpolation and shrinks them to their areas' means."""
    shrinks = np.prod(size) < np.prod(image.shape[2:])
    return resize(image, size, mode or ("area" if shrinks else "bilinear"))


def nearest_weights(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs): pixel i is pixel floor(i * inputs / outputs)."""
    weights: np.ndarray = np.eye(inputs)[np.arange(outputs) * inputs // outputs]
    return weights


def bilinear_weights(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs): a triangle around each centre."""
    return _interpolation(inputs, outputs, range(2), lambda distance: np.maximum(1 - distance, 0))


def bicubic_weights(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs): Keys' cubic convolution with A = -0.75."""
    return _interpolation(inputs, outputs, range(-1, 3), _keys_kernel)


def area_weights(inputs: int, outputs: int) -> np.ndarray:
    """(outputs, inputs): the mean of every pixel that the new pixel touches."""
    weights = np.zeros((outputs, inputs))
    for i in range(outputs):
        touched = slice(i * inputs // outputs, -(-(i + 1) * inputs // outputs))
        weights[i, touched] = 1 / (touched.stop - touched.start)
    return weights


def _interpolation(inputs: int, outputs: int, taps: range, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Weights by distance from the centres (half-pixel); pixels beyond the edge are the edge's."""
    centres = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    weights = np.zeros((outputs, inputs))
    for tap in taps:
        pixels = np.floor(centres).astype(int) + tap
        np.add.at(weights, (np.arange(outputs), np.clip(pixels, 0, inputs - 1)), kernel(np.abs(centres - pixels)))
    return weights


def _keys_kernel(distance: np.ndarray) -> np.ndarray:
    a = _CUBIC_A
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


_MODES: Mapping[str, Callable[[int, int], np.ndarray]] = {
    "nearest": nearest_weights,
    "bilinear": bilinear_weights,
    "bicubic": bicubic_weights,
    "area": area_weights,
}
