"""Matrix products, dense layers, convolution, pooling and embedding look-up."""

from __future__ import annotations

import math

from coopdraw.graphs.onnx.emission import NodeEmitter, rule


@rule("matmul")
def matmul(emitter: NodeEmitter) -> list[str]:
    """Gemm transposes two matrices while it reads them; MatMul has no such attributes."""
    flags = [emitter.flag(name) for name in ("transpose_a", "transpose_b")]
    if any(flags) and all(len(value.type.shape) == 2 for value in emitter.operands):
        return [emitter.add("Gemm", *emitter.inputs, transA=int(flags[0]), transB=int(flags[1]))]
    operands = [_transposed(emitter, index) if flag else emitter.inputs[index] for index, flag in enumerate(flags)]
    return [emitter.add("MatMul", *operands)]


def _transposed(emitter: NodeEmitter, index: int) -> str:
    rank = len(emitter.operands[index].type.shape)
    return emitter.add("Transpose", emitter.inputs[index], perm=[*range(rank - 2), rank - 1, rank - 2])


@rule("linear")
def linear(emitter: NodeEmitter) -> list[str]:
    """A Gemm over flattened rows: it takes the weight as it is stored, so that no runtime keeps a transposed copy."""
    x, weight = (value.type.shape for value in emitter.operands[:2])
    name, *others = emitter.inputs
    if len(x) != 2:
        name = emitter.reshape(name, (math.prod(x[:-1]), weight[1]))
    name = emitter.add("Gemm", name, *others, transB=1)
    return [name if len(x) == 2 else emitter.reshape(name, emitter.result.shape)]


@rule("conv2d")
def conv2d(emitter: NodeEmitter) -> list[str]:
    top, bottom, left, right = emitter.integers("padding")
    return [
        emitter.add(
            "Conv",
            *emitter.inputs,
            kernel_shape=emitter.operands[1].type.shape[2:],
            strides=emitter.integers("stride"),
            dilations=emitter.integers("dilation"),
            group=emitter.integer("groups"),
            pads=(top, left, bottom, right),
        )
    ]


@rule("avg_pool2d")
def avg_pool2d(emitter: NodeEmitter) -> list[str]:
    kernel, stride = emitter.integers("kernel"), emitter.integers("stride")
    return [emitter.add("AveragePool", *emitter.inputs, kernel_shape=kernel, strides=stride)]


@rule("gather")
def gather(emitter: NodeEmitter) -> list[str]:
    return [emitter.add("Gather", *emitter.inputs, axis=emitter.integer("axis"))]
