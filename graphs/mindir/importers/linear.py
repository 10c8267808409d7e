"""Matrix products and dense layers."""

from __future__ import annotations

from coopdraw.graphs.ir import Node, Value
from coopdraw.graphs.mindir.codes import CHANNELS_FIRST
from coopdraw.graphs.mindir.importers.elementwise import operands
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
    if call.argument(2) is not None and call.integer(2) not in CHANNELS_FIRST:
        raise call.error("has its channels last; use data_format='NCHW'")
    node = call.builder.producer(x)
    if node is not None and node.operator == "conv2d" and len(node.inputs) == 2:
        return call.add("conv2d", *node.inputs, bias, **dict(node.attributes))
    if node is not None and _is_dense(node):
        return call.add("linear", *node.inputs, bias)
    if len(x.type.shape) > 2:
        bias = call.add("reshape", bias, shape=(bias.type.shape[0],) + (1,) * (len(x.type.shape) - 2))
    return call.add("add", x, bias)


def _is_dense(node: Node) -> bool:
    """A product of two matrices, the second one transposed."""
    if node.operator != "matmul" or node.attributes["transpose_a"] or not node.attributes["transpose_b"]:
        return False
    return all(len(operand.type.shape) == 2 for operand in node.inputs)


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


@primitive("Outer")
def outer(call: PrimitiveCall) -> Imported:
    left, right = operands(call, call.output_type().dtype)
    return call.add("mul", call.add("reshape", left, shape=(*left.type.shape, 1)), right)
