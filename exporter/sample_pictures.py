"""Pictures and masks that `verify` starts from: smooth, the same every time, for any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from coopdraw.graphs.sampling.start import IMAGE, MASK

_RADIUS, _EDGE = 0.35, 0.15


def smooth_picture(shape: tuple[int, ...]) -> np.ndarray:
    """float32 (B, C, H, W) in [0.1, 0.9]: slow waves, other ones in each channel and picture."""
    batch, channel, y, x = _coordinates(shape)
    picture: np.ndarray = 0.5 + 0.4 * np.sin(np.pi * ((1 + channel) * x + (2 - channel) * y + 0.7 * batch))
    return picture.astype(np.float32)


def soft_disc(shape: tuple[int, ...]) -> np.ndarray:
    """float32 (B, 1, H, W): 1 in a disc in the middle, 0 far from it, grey along its edge."""
    _, _, y, x = _coordinates(shape)
    depth = (_RADIUS - np.hypot(x - 0.5, y - 0.5)) / _EDGE
    return np.broadcast_to(np.clip(0.5 + depth, 0.0, 1.0), shape).astype(np.float32)


def _coordinates(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Picture and channel by number; centres of rows and columns as shares of the height and width."""
    batch, channel, y, x = np.ogrid[tuple(slice(extent) for extent in shape)]
    return [batch, channel, (y + 0.5) / shape[2], (x + 0.5) / shape[3]]


START_INPUTS: Mapping[str, Callable[[tuple[int, ...]], np.ndarray]] = {IMAGE: smooth_picture, MASK: soft_disc}
"""What each input of a start gets."""
