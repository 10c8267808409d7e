"""Matrix products, dense layers, convolutions and pooling."""

from __future__ import annotations

from coopdraw.graphs.ir import Node, Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("MatMul", "BatchMatMul")
def matmul(call: PrimitiveCall) -> Imported:
    flags = [
        call.boolean(index) if call.argument(index) is not None else bool(call.integer_attribute(name, 0))
        for index, name in ((2, "transpose_a"), (3, "transpose_b"))
    ]
    return call.add("matmul", call.tensor(0), call.tensor(1), transpose_a=flags[0], transpose_b=flags[1])


@primitive("MatMulExt", "BatchMatMulExt")
def matmul_ext(call: PrimitiveCall) -> Imported:
    left, right = call.tensor(0), call.tensor(1)
    if len(left.type.shape) < 2 or len(right.type.shape) < 2:
        raise call.error("multiplies a vector; reshape it to a matrix")
    return call.add("matmul", left, right, transpose_a=False, transpose_b=False)


@primitive("Dense")
def dense(call: PrimitiveCall) -> Imported:
    bias = () if call.argument(2) is None else (call.tensor(2),)
    return call.add("linear", call.tensor(0), call.tensor(1), *bias)


@primitive("BiasAdd")
def bias_add(call: PrimitiveCall) -> Imported:
    """Adds along axis 1; right behind a convolution or a dense product it becomes that operator's own bias."""
    x, bias = call.tensor(0), call.tensor(1)
    node = call.builder.producer(x)
    if node is not None and node.operator == "conv2d" and len(node.inputs) == 2:
        return call.add("conv2d", *node.inputs, bias, **dict(node.attributes))
    if node is not None and _is_dense(node):
        return call.add("linear", *node.inputs, bias)
    if len(x.type.shape) > 2:
        bias = call.add("reshape", bias, shape=(bias.type.shape[0],) + (1,) * (len(x.type.shape) - 2))
    return call.add("add", x, bias)


def _is_dense(node: Node) -> bool:
    if node.operator != "matmul" or node.attributes["transpose_a"] or not node.attributes["transpose_b"]:
        return False
    return len(node.inputs[1].type.shape) == 2


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
        raise call.error(f"has pad_mode {mode}; use pad, valid or same")
    padding: list[int] = []
    for axis in (0, 1):
        extent, kernel = x.type.shape[2 + axis], weight.type.shape[2 + axis]
        needed = max(0, (-(-extent // stride[axis]) - 1) * stride[axis] + dilation[axis] * (kernel - 1) + 1 - extent)
        padding += [needed // 2, needed - needed // 2]
    return tuple(padding)


@primitive("Conv2DExt")
def conv2d_ext(call: PrimitiveCall) -> Imported:
    """mint.nn.Conv2d: x, weight, bias or None, stride, padding, dilation, groups."""
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
        groups=call.integer(6),
    )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


@primitive("AvgPool")
def avg_pool(call: PrimitiveCall) -> Imported:
    if call.argument(1) is not None:
        kernel, stride = call.integers(1)[-2:], call.integers(2)[-2:]
        valid = call.integer(3) == 2
    else:
        kernel, stride = call.integers_attribute("kernel_size")[-2:], call.integers_attribute("strides")[-2:]
        valid = str(call.attributes.get("pad_mode", "valid")).lower() == "valid"
    if not valid:
        raise call.error("pads its input; use pad_mode='valid' after a pad")
    return call.add("avg_pool2d", call.tensor(0), kernel=_pair(kernel), stride=_pair(stride))


@primitive("AvgPool2D")
def avg_pool_2d(call: PrimitiveCall) -> Imported:
    """mint.nn.AvgPool2d: kernel, stride, padding, ceil_mode, count_include_pad, divisor_override."""
    if any(call.integers(3)) or call.boolean(4) or call.argument(6) is not None:
        raise call.error("pads, rounds up or overrides the divisor; use padding=0 and ceil_mode=False")
    return call.add("avg_pool2d", call.tensor(0), kernel=_pair(call.integers(1)), stride=_pair(call.integers(2)))


@primitive("Baddbmm", "Addmm")
def scaled_matmul(call: PrimitiveCall) -> Imported:
    """beta * x + alpha * (a @ b)."""
    x, left, right = call.tensor(0), call.tensor(1), call.tensor(2)
    product = call.add("matmul", left, right, transpose_a=False, transpose_b=False)
    product = scaled(call, product, call.number(4))
    beta = call.number(3)
    return product if beta == 0.0 else call.add("add", scaled(call, x, beta), product)


def scaled(call: PrimitiveCall, value: Value, factor: float) -> Value:
    """value * factor, or value itself for a factor of one."""
    if factor == 1.0:
        return value
    return call.add("mul", value, call.tensor_of(factor, value.type.dtype))
