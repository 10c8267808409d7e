"""Matrix products, dense layers, convolution, pooling and embedding look-up."""

from __future__ import annotations

import math

from coopdraw.graphs.mindir.emission import NodeEmitter, rule
from coopdraw.graphs.types import TensorType


@rule("matmul")
def matmul(emitter: NodeEmitter) -> list[str]:
    """Two matrices are a MatMul; anything larger is a BatchMatMul over equal batch dimensions."""
    flags = [bool(emitter.node.attributes[name]) for name in ("transpose_a", "transpose_b")]
    ranks = [len(value.type.shape) for value in emitter.operands]
    if ranks == [2, 2]:
        return [emitter.add("MatMul", *emitter.inputs, *(emitter.constant(flag) for flag in flags))]
    batch = emitter.result.shape[:-2]
    operands = [_batched(emitter, index, batch) for index in (0, 1)]
    return [emitter.add("BatchMatMul", *operands, *(emitter.constant(flag) for flag in flags))]


def _batched(emitter: NodeEmitter, index: int, batch: tuple[int, ...]) -> str:
    type = emitter.operands[index].type
    wanted = TensorType(type.dtype, batch + type.shape[-2:])
    if type == wanted:
        return emitter.inputs[index]
    return emitter.add("BroadcastTo", emitter.inputs[index], emitter.constant(wanted.shape), type=wanted)


@rule("linear")
def linear(emitter: NodeEmitter) -> list[str]:
    """A MatMul over flattened rows: MindSpore's Dense has no CPU kernel for every rank."""
    x, weight = (value.type for value in emitter.operands[:2])
    rows = math.prod(x.shape[:-1])
    name = emitter.inputs[0]
    if len(x.shape) != 2:
        flat = TensorType(x.dtype, (rows, x.shape[-1]))
        name = emitter.add("Reshape", name, emitter.constant(flat.shape), type=flat)
    result = TensorType(x.dtype, (rows, weight.shape[0]))
    flags = (emitter.constant(False), emitter.constant(True))
    name = emitter.add("MatMul", name, emitter.inputs[1], *flags, type=result)
    if len(emitter.inputs) == 3:
        name = emitter.add("BiasAdd", name, emitter.inputs[2], emitter.constant(0), type=result)
    if len(x.shape) != 2:
        name = emitter.add("Reshape", name, emitter.constant(emitter.result.shape))
    return [name]


@rule("conv2d")
def conv2d(emitter: NodeEmitter) -> list[str]:
    weight = emitter.operands[1].type.shape
    name = emitter.add(
        "Conv2D",
        *emitter.inputs[:2],
        kernel_size=weight[2:],
        mode=1,
        out_channel=weight[0],
        pad=emitter.integers("padding"),
        pad_mode="pad",
        pad_list=emitter.integers("padding"),
        format="NCHW",
        groups=emitter.integer("groups"),
        group=emitter.integer("groups"),
        stride=(1, 1, *emitter.integers("stride")),
        dilation=(1, 1, *emitter.integers("dilation")),
    )
    if len(emitter.inputs) == 3:
        name = emitter.add("BiasAdd", name, emitter.inputs[2], emitter.constant(0))
    return [name]


@rule("avg_pool2d")
def avg_pool2d(emitter: NodeEmitter) -> list[str]:
    kernel, stride = emitter.integers("kernel"), emitter.integers("stride")
    valid, nchw = emitter.constant(2), emitter.constant(0)
    return [emitter.add("AvgPool", *emitter.inputs, emitter.constant(kernel), emitter.constant(stride), valid, nchw)]


@rule("gather")
def gather(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Gather", *emitter.inputs, emitter.constant(emitter.integer("axis")), emitter.constant(0))]
