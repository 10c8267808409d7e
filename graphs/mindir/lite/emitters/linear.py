"""Matrix products, dense layers, convolution, pooling and look-up."""

from __future__ import annotations

from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule
from coopdraw.graphs.types import TensorType

_NO_ACTIVATION = 0
_NCHW = 0
_PAD = 0
"""PadMode of mindspore/core/mindapi/base/types.h: as many as `pad_list` says."""


@lite_rule("matmul")
def matmul(emitter: LiteEmitter) -> list[str]:
    batch = emitter.result.shape[:-2]
    operands = [_batched(emitter, index, batch) for index in (0, 1)]
    return [_product(emitter, operands, *(bool(emitter.node.attributes[name]) for name in _FLAGS))]


_FLAGS = ("transpose_a", "transpose_b")


def _product(emitter: LiteEmitter, operands: list[str], transpose_a: bool, transpose_b: bool) -> str:
    return emitter.add(
        "MatMulFusion",
        *operands,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        activation_type=_NO_ACTIVATION,
    )


def _batched(emitter: LiteEmitter, index: int, batch: tuple[int, ...]) -> str:
    type = emitter.operand(index)
    wanted = TensorType(type.dtype, batch + type.shape[-2:])
    if type == wanted:
        return emitter.inputs[index]
    return emitter.add("BroadcastTo", emitter.inputs[index], type=wanted, shape=wanted.shape)


@lite_rule("linear")
def linear(emitter: LiteEmitter) -> list[str]:
    """A product with the bias in it, which Lite wants stored; one that is computed is added."""
    x, *operands = emitter.inputs
    vector = len(emitter.operand(0).shape) == 1
    if vector:
        x = emitter.reshape(x, (1, *emitter.operand(0).shape))
    added = operands.pop() if len(operands) == 2 and not emitter.is_stored(operands[1]) else None
    name = _product(emitter, [x, *operands], False, True)
    if vector:
        name = emitter.reshape(name, emitter.result.shape)
    return [name if added is None else emitter.add("Add", name, added)]


@lite_rule("conv2d")
def conv2d(emitter: LiteEmitter) -> list[str]:
    """A convolution with the bias in it, which Lite wants stored; one that is computed is added."""
    weight, groups = emitter.operand(1).shape, emitter.integer("groups")
    operands = list(emitter.inputs)
    if groups > 1 and not emitter.is_stored(operands[1]):
        raise emitter.fail("the weight of a convolution in groups is computed", "make it a Parameter or a constant")
    added = operands.pop() if len(operands) == 3 and not emitter.is_stored(operands[2]) else None
    name = emitter.add(
        "Conv2DFusion",
        *operands,
        kernel_size=weight[2:],
        in_channel=weight[1] * groups,
        out_channel=weight[0],
        mode=1,
        pad_mode=_PAD,
        pad_list=emitter.integers("padding"),
        format=_NCHW,
        group=groups,
        stride=emitter.integers("stride"),
        dilation=emitter.integers("dilation"),
        activation_type=_NO_ACTIVATION,
    )
    if added is None:
        return [name]
    return [emitter.add("Add", name, emitter.reshape(added, (1, weight[0], 1, 1)))]


@lite_rule("avg_pool2d")
def avg_pool2d(emitter: LiteEmitter) -> list[str]:
    return [
        emitter.add(
            "AvgPoolFusion",
            *emitter.inputs,
            kernel_size=emitter.integers("kernel"),
            strides=emitter.integers("stride"),
            pad_mode=_PAD,
            pad=(0, 0, 0, 0),
            round_mode=0,
            format=_NCHW,
            activation_type=_NO_ACTIVATION,
        )
    ]


@lite_rule("gather")
def gather(emitter: LiteEmitter) -> list[str]:
    return [emitter.add("Gather", *emitter.inputs, emitter.constant(emitter.integer("axis")))]
