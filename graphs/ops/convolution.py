"""Convolution and pooling over images (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import checks
from coopdraw.graphs.ops.precision import rounded
from coopdraw.graphs.ops.table import Attributes, Operator, register
from coopdraw.graphs.types import TensorType

_COLUMN_ELEMENTS = 1 << 23  # im2col works in blocks of rows, so that an image of 1024 x 1024 doesn't need gigabytes


def _spatial_output(extent: int, kernel: int, stride: int, dilation: int = 1, padding: int = 0) -> int:
    """Number of windows along one axis."""
    span = dilation * (kernel - 1) + 1
    if span > extent + padding:
        raise GraphError(f"the kernel spans {span}, but the padded input has only {extent + padding}; pad the input")
    return (extent + padding - span) // stride + 1


def _infer_conv2d(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    x, weight = inputs[:2]
    checks.floating(x)
    checks.same_dtype(inputs)
    checks.rank(x, 4, "x")
    checks.rank(weight, 4, "the weight")
    groups = checks.positive_integer(attributes, "groups")
    stride, dilation = checks.pair(attributes, "stride"), checks.pair(attributes, "dilation")
    top, bottom, left, right = checks.integers(attributes, "padding", least=0, length=4)
    batch, channels, height, width = x.shape
    out_channels, group_channels, *kernel = weight.shape
    if group_channels * groups != channels:
        raise GraphError(f"x is {x} and the weight is {weight}, but {groups} groups need {channels}/{groups} channels")
    if out_channels % groups:
        raise GraphError(f"the weight is {weight}, but {groups} groups can't share {out_channels} output channels")
    if len(inputs) == 3:
        checks.exact_shape(inputs[2], (out_channels,), "the bias")
    out_height = _spatial_output(height, kernel[0], stride[0], dilation[0], top + bottom)
    out_width = _spatial_output(width, kernel[1], stride[1], dilation[1], left + right)
    return (TensorType(x.dtype, (batch, out_channels, out_height, out_width)),)


def _windows(x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """A view (..., out_h, out_w, kernel_h, kernel_w) of x (..., H, W)."""
    spans = tuple(step * (size - 1) + 1 for step, size in zip(dilation, kernel, strict=True))
    windows = sliding_window_view(x, spans, axis=(-2, -1))  # type: ignore[call-overload]
    return np.asarray(windows[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]])


def _conv2d(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    x, weight = inputs[:2]
    groups = checks.positive_integer(attributes, "groups")
    stride, dilation = checks.pair(attributes, "stride"), checks.pair(attributes, "dilation")
    top, bottom, left, right = checks.integers(attributes, "padding", least=0, length=4)
    if top or bottom or left or right:
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    batch, channels, height, width = x.shape
    out_channels = weight.shape[0]
    grouped = x.reshape(batch, groups, channels // groups, height, width)
    kernels = weight.reshape(groups, out_channels // groups, -1)
    result: np.ndarray
    if weight.shape[2:] == (1, 1) and stride == (1, 1):
        result = np.matmul(kernels, grouped.reshape(batch, groups, channels // groups, -1))
        result = result.reshape(batch, out_channels, height, width)
    else:
        result = _windowed_products(_windows(grouped, (weight.shape[2], weight.shape[3]), stride, dilation), kernels)
    if len(inputs) == 3:
        result += inputs[2].reshape(-1, 1, 1)
    return result


def _windowed_products(windows: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """im2col: windows (N, G, C, h, w, kh, kw) and kernels (G, O, C*kh*kw) give (N, G*O, h, w)."""
    batch, groups, channels, out_height, out_width, kernel_height, kernel_width = windows.shape
    depth = channels * kernel_height * kernel_width
    columns = np.moveaxis(windows, (-2, -1), (3, 4))
    result = np.empty((batch, groups, kernels.shape[1], out_height, out_width), np.result_type(windows, kernels))
    rows = max(1, _COLUMN_ELEMENTS // (batch * groups * depth * out_width))
    for start in range(0, out_height, rows):
        block = columns[..., start : start + rows, :]
        product = np.matmul(kernels, block.reshape(batch, groups, depth, -1))
        result[..., start : start + rows, :] = product.reshape(*product.shape[:3], -1, out_width)
    return result.reshape(batch, -1, out_height, out_width)


def _flops_conv2d(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return outputs[0].size * (2 * math.prod(inputs[1].shape[1:]) + len(inputs) - 2)


register(
    Operator(
        "conv2d",
        2,
        3,
        {"stride": (tuple,), "padding": (tuple,), "dilation": (tuple,), "groups": (int,)},
        _infer_conv2d,
        rounded(_conv2d),
        _flops_conv2d,
    )
)


def _infer_avg_pool2d(inputs: Sequence[TensorType], attributes: Attributes) -> Sequence[TensorType]:
    (x,) = inputs
    checks.floating(x)
    checks.rank(x, 4, "x")
    kernel, stride = checks.pair(attributes, "kernel"), checks.pair(attributes, "stride")
    height = _spatial_output(x.shape[2], kernel[0], stride[0])
    width = _spatial_output(x.shape[3], kernel[1], stride[1])
    return (TensorType(x.dtype, (*x.shape[:2], height, width)),)


def _avg_pool2d(inputs: Sequence[np.ndarray], attributes: Attributes) -> np.ndarray:
    kernel, stride = checks.pair(attributes, "kernel"), checks.pair(attributes, "stride")
    return np.asarray(_windows(inputs[0], kernel, stride, (1, 1)).mean(axis=(-2, -1)))


def _flops_avg_pool2d(inputs: Sequence[TensorType], outputs: Sequence[TensorType], attributes: Attributes) -> int:
    return outputs[0].size * math.prod(checks.pair(attributes, "kernel"))


register(
    Operator(
        "avg_pool2d",
        1,
        1,
        {"kernel": (tuple,), "stride": (tuple,)},
        _infer_avg_pool2d,
        rounded(_avg_pool2d),
        _flops_avg_pool2d,
    )
)
