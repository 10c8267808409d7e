"""Convolutions and pooling."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.codes import CHANNELS_FIRST
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_VALID = 2
"""MindSpore's PadMode without padding (mindspore/core/include/mindapi/base/types.h)."""


@primitive("Conv2D")
def conv2d(call: PrimitiveCall) -> Imported:
    """Attributes are 4-tuples over NCHW; `same` padding is what the documentation of nn.Conv2d states."""
    x, weight = call.tensor(0), call.tensor(1)
    if call.attributes.get("format", "NCHW") != "NCHW":
        raise call.error("is not in NCHW; use data_format='NCHW'")
    stride, dilation = call.integers_attribute("stride")[-2:], call.integers_attribute("dilation")[-2:]
    padding = _conv_padding(call, x, weight, stride, dilation)
    return call.add(
        "conv2d",
        x,
        weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=call.integer_attribute("group", 1),
    )


def _conv_padding(
    call: PrimitiveCall, x: Value, weight: Value, stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    mode = str(call.attributes.get("pad_mode", "valid")).lower()
    if mode == "valid":
        return (0, 0, 0, 0)
    if mode == "pad":
        return call.integers_attribute("pad")
    if mode != "same":
        raise call.error(f"has pad_mode {mode!r}; use pad, valid or same")
    padding: list[int] = []
    for axis in (0, 1):
        extent, kernel = x.type.shape[2 + axis], weight.type.shape[2 + axis]
        needed = max(0, (-(-extent // stride[axis]) - 1) * stride[axis] + dilation[axis] * (kernel - 1) + 1 - extent)
        padding += [needed // 2, needed - needed // 2]
    return tuple(padding)


@primitive("Conv2DExt")
def conv2d_ext(call: PrimitiveCall) -> Imported:
    """mint.nn.Conv2d: x, weight, bias or None, stride, padding, dilation, groups."""
    return _conv2d(call, groups=call.integer(6))


@primitive("Convolution")
def convolution(call: PrimitiveCall) -> Imported:
    """mint.nn.Conv2d with padding="same": like Conv2DExt, then transposed, output_padding, groups."""
    if call.boolean(6):
        raise call.error("is transposed; use an interpolation and a convolution")
    return _conv2d(call, groups=call.integer(8))


def _conv2d(call: PrimitiveCall, groups: int) -> Imported:
    bias = () if call.argument(2) is None else (call.tensor(2),)
    stride, padding, dilation = (_pair(call.integers(index)) for index in (3, 4, 5))
    return call.add(
        "conv2d",
        call.tensor(0),
        call.tensor(1),
        *bias,
        stride=stride,
        padding=(padding[0], padding[0], padding[1], padding[1]),
        dilation=dilation,
        groups=groups,
    )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


@primitive("AvgPool")
def avg_pool(call: PrimitiveCall) -> Imported:
    """nn.AvgPool2d: x, kernel, stride, pad mode, format."""
    if call.integer(3) != _VALID or call.integer(4) not in CHANNELS_FIRST:
        raise call.error("pads its input or has its channels last; use pad_mode='valid' and data_format='NCHW'")
    kernel, stride = call.integers(1)[-2:], call.integers(2)[-2:]
    return call.add("avg_pool2d", call.tensor(0), kernel=_pair(kernel), stride=_pair(stride))


@primitive("AvgPool2D")
def avg_pool_2d(call: PrimitiveCall) -> Imported:
    """mint.nn.AvgPool2d: kernel, stride, padding, ceil_mode, count_include_pad, divisor_override."""
    x = call.tensor(0)
    kernel, stride = _pair(call.integers(1)), _pair(call.integers(2))
    steps = zip(x.type.shape[-2:], kernel, stride, strict=True)
    rounds_up = call.boolean(4) and any((extent - size) % step for extent, size, step in steps)
    if any(call.integers(3)) or rounds_up or call.argument(6) is not None:
        raise call.error("pads, rounds up or overrides the divisor; use padding=0 and extents that divide")
    return call.add("avg_pool2d", x, kernel=kernel, stride=stride)
