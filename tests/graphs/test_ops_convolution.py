"""Convolution and pooling against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, checked_evaluate, onnx_node
from hypothesis import assume, given
from hypothesis import strategies as st

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import convolution, infer, lookup
from coopdraw.graphs.types import DType, TensorType

# float32 sums of up to 4 * 3 * 3 products around 1, in another order: 36 half ulp of 6.
SUMS = 2e-5

PAIR = st.tuples(st.integers(1, 3), st.integers(1, 3))


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=PAIR,
    stride=PAIR,
    dilation=PAIR,
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    bias=st.booleans(),
    block=st.sampled_from([1, 40, 1 << 20]),
)
def test_conv2d(
    batch: int,
    groups: int,
    channels: tuple[int, int],
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    bias: bool,
    block: int,
) -> None:
    top, bottom, left, right = padding
    assume(image[0] + top + bottom > dilation[0] * (kernel[0] - 1))
    assume(image[1] + left + right > dilation[1] * (kernel[1] - 1))
    in_channels, out_channels = (groups * count for count in channels)
    inputs = [numbers((batch, in_channels, *image), 0), numbers((out_channels, channels[0], *kernel), 1)]
    inputs += [numbers((out_channels,), 2)] if bias else []
    node = onnx_node(
        "Conv",
        "012"[: len(inputs)],
        strides=stride,
        dilations=dilation,
        pads=[top, left, bottom, right],
        group=groups,
        kernel_shape=kernel,
    )
    attributes: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_COLUMN_ELEMENTS", block)
        assert_agrees("conv2d", inputs, attributes, [node], relative=SUMS, absolute=SUMS)


@given(image=st.tuples(st.integers(3, 9), st.integers(3, 9)), kernel=PAIR, stride=PAIR)
def test_avg_pool2d(image: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    node = onnx_node("AveragePool", "0", kernel_shape=kernel, strides=stride)
    # a mean of up to 9 numbers around 1, in another order
    assert_agrees(
        "avg_pool2d", [numbers((2, 3, *image), 0)], {"kernel": kernel, "stride": stride}, [node], absolute=1e-6
    )


def conv_attributes(**changes: Any) -> dict[str, Any]:
    return {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, **changes}


@pytest.mark.parametrize(
    ("x", "weight", "changes", "message"),
    [
        ((1, 4, 8, 8), (6, 3, 3, 3), {}, "1 groups need 4/1 channels"),
        ((1, 4, 8, 8), (5, 2, 3, 3), {"groups": 2}, "can't share 5 output channels"),
        ((1, 4, 2, 8), (6, 4, 3, 3), {}, "the kernel spans 3, but the padded input has only 2"),
        ((1, 4, 4, 8), (6, 4, 3, 3), {"dilation": (2, 1)}, "the kernel spans 5"),
        ((4, 8, 8), (6, 4, 3, 3), {}, "x is .* must have 4 dimensions"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": (0, 1)}, "stride is .* at least 1"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"stride": (1,)}, "stride is .* must have 2 elements"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"padding": (0, 0, -1, 0)}, "padding is .* at least 0"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"padding": (0, 0, 1.0, 0)}, "padding is .* only integers"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"groups": 0}, "groups is 0"),
        ((1, 4, 8, 8), (6, 4, 3, 3), {"groups": True}, "groups is True, which is not int"),
    ],
)
def test_conv2d_refuses(x: tuple[int, ...], weight: tuple[int, ...], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=f"conv2d: .*{message}"):
        infer("conv2d", [TensorType(DType.FLOAT32, shape) for shape in (x, weight)], conv_attributes(**changes))


def test_conv2d_flops() -> None:
    types = [TensorType(DType.FLOAT32, shape) for shape in [(2, 4, 8, 8), (6, 2, 3, 3), (6,)]]
    attributes = conv_attributes(groups=2)
    outputs = infer("conv2d", types, attributes)
    assert outputs[0].shape == (2, 6, 6, 6)
    assert lookup("conv2d").flops(types, outputs, attributes) == 2 * 6 * 6 * 6 * (2 * 2 * 9 + 1)


def test_conv2d_reads_views() -> None:
    """Broadcast and transposed operands are not contiguous."""
    x = np.broadcast_to(numbers((1, 4, 1, 1), 0), (1, 4, 5, 5))
    weight = numbers((3, 3, 4, 6), 1).transpose(3, 2, 0, 1)
    attributes = conv_attributes(padding=(1, 1, 1, 1))
    (result,) = checked_evaluate("conv2d", [x, weight], attributes)
    (expected,) = checked_evaluate("conv2d", [x.copy(), weight.copy()], attributes)
    np.testing.assert_array_equal(result, expected)
