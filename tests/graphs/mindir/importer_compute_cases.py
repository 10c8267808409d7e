"""Cases of primitives that compute: arithmetic, comparisons, activations, products, normalisation, reductions."""

from __future__ import annotations

from typing import Any

import mindspore
import numpy as np
from graphs.mindir.importer_case import (
    BETA,
    FLAGS,
    FLOAT16,
    GAMMA,
    HALF,
    IMAGE,
    INTEGERS,
    KERNEL,
    OTHER_FLAGS,
    OTHER_INTEGERS,
    POSITIVE,
    Case,
    Expected,
    X,
    Y,
    case,
    normal,
)
from graphs.mindir.importer_cells import Apply
from graphs.onnx_oracle import onnx_node, run_onnx
from mindspore import mint, ops

from graphs.mindir import importer_cells as cells

functional = mint.nn.functional


def compute_cases() -> list[Case]:
    return [
        *elementwise_cases(),
        *comparison_cases(),
        *activation_cases(),
        *product_cases(),
        *convolution_cases(),
        *normalization_cases(),
        *reduction_cases(),
    ]


def elementwise_cases() -> list[Case]:
    two, one = (X, Y), (X,)
    return [
        case("Add", cells.add, two, np.add),
        case("Add", cells.add, (X, HALF), lambda x, y: x + y.astype(np.float32)),
        case("Add", cells.add, (INTEGERS, HALF[0, :2, :3]), lambda x, y: x.astype(np.float16) + y, FLOAT16),
        case("Sub", cells.subtract_from_two, one, lambda x: 2 - x),
        case("Mul", mint.mul, two, np.multiply),
        case("Muls", cells.times_three, one, lambda x: 3 * x),
        case("Muls", cells.times_three, (HALF,), lambda x: 3 * x, FLOAT16),
        case("Muls", cells.times_half, (INTEGERS,), lambda x: x.astype(np.float32) * np.float32(0.5)),
        case("Div", mint.div, (X, POSITIVE), np.divide),
        case("Divs", cells.half_of, one, lambda x: x / np.float32(2)),
        case("Divs", cells.half_of, (INTEGERS,), lambda x: x.astype(np.float32) / np.float32(2)),
        case("RealDiv", ops.RealDiv(), (X, POSITIVE), np.divide),
        case("Pow", cells.squared, one, lambda x: x * x),
        case("PowTensorScalar", Apply(mint.pow, 3), one, lambda x: x**3),
        case("PowScalarTensor", cells.two_to_the, one, lambda x: np.float32(2) ** x),
        case("Maximum", mint.maximum, two, np.maximum),
        case("Minimum", cells.at_most_a_quarter, one, lambda x: np.minimum(x, np.float32(0.25))),
        case("AddExt", Apply(mint.add, alpha=2), two, lambda x, y: x + 2 * y),
        case("AddExt", mint.add, (HALF, X), lambda x, y: x.astype(np.float32) + y),
        case("AddExt", Apply(mint.add, alpha=3), (INTEGERS, OTHER_INTEGERS), lambda x, y: x + 3 * y),
        case("SubExt", Apply(mint.sub, alpha=0.5), two, lambda x, y: x - y / 2),
        case("AddScalar", cells.six_more, one, lambda x: x + 6),
        case("SubScalar", cells.two_less, one, lambda x: x - 2),
        case("Neg", mint.neg, one, np.negative),
        case("Abs", mint.abs, one, np.abs),
        case("Exp", mint.exp, one, np.exp),
        case("Sqrt", mint.sqrt, (POSITIVE,), np.sqrt),
        case("Rsqrt", mint.rsqrt, (POSITIVE,), lambda x: 1 / np.sqrt(x)),
        case("Square", mint.square, one, np.square),
        case("Reciprocal", mint.reciprocal, (POSITIVE,), lambda x: 1 / x),
        case("Sin", mint.sin, one, np.sin),
        case("Cos", mint.cos, one, np.cos),
        case("Tanh", mint.tanh, one, np.tanh),
        case("Erf", mint.erf, one, lambda x: run_onnx([onnx_node("Erf", ["x"])], {"x": x})),
        case("Floor", mint.floor, one, np.floor),
        case("Ceil", mint.ceil, one, np.ceil),
        case("Sign", mint.sign, one, np.sign),
        case("Log", mint.log, (POSITIVE,), np.log),
        case("Round", mint.round, (np.float32([0.5, 1.5, -2.5, 0.6]),), lambda x: np.float32([0, 2, -2, 1])),
        case("ClampScalar", Apply(mint.clamp, -0.5, 0.5), one, lambda x: np.clip(x, -0.5, 0.5)),
        case("ClampScalar", Apply(mint.clamp, max=0.5), one, lambda x: np.minimum(x, np.float32(0.5))),
        case("ClampScalar", Apply(ops.clamp, 0, 4), (INTEGERS,), lambda x: np.clip(x, 0, 4)),
        case("Cast", cells.as_half, one, lambda x: x.astype(np.float16)),
        case("Cast", Apply(ops.cast, mindspore.int32), (np.float32([2.7, -2.7]),), lambda x: np.int32([2, -2])),
    ]


def comparison_cases() -> list[Case]:
    two, one, integers = (X, Y), (X,), (INTEGERS, OTHER_INTEGERS)
    return [
        case("Equal", mint.eq, integers, np.equal),
        case("NotEqual", mint.ne, integers, np.not_equal),
        case("Less", mint.lt, (X, INTEGERS[:, :, None]), np.less),
        case("Less", ops.Less(), (HALF, X), np.less),
        case("LessEqual", Apply(mint.le, 0.5), (INTEGERS,), lambda x: x <= 0.5),
        case("Greater", cells.above_half, (INTEGERS,), lambda x: x > 0.5),
        case("GreaterEqual", mint.ge, two, np.greater_equal),
        case("LogicalAnd", mint.logical_and, (FLAGS, OTHER_FLAGS), np.logical_and),
        case("LogicalOr", mint.logical_or, (FLAGS, OTHER_FLAGS), np.logical_or),
        case("LogicalNot", mint.logical_not, (FLAGS,), np.logical_not),
        case("Select", cells.positive_or_zero, one, lambda x: np.maximum(x, 0)),
        case("Select", mint.where, (FLAGS[:, :1], X, Y), np.where),
        case("MaskedFill", Apply(ops.masked_fill, -1.0), (X, FLAGS), lambda x, mask: np.where(mask, np.float32(-1), x)),
        case("MaskedFillScalar", cells.filled_where_positive, one, lambda x: np.where(x > 0, np.float32(-7), x)),
        case("ZerosLikeExt", mint.zeros_like, (HALF,), np.zeros_like),
        case("OnesLikeExt", Apply(mint.ones_like, dtype=mindspore.int32), one, lambda x: np.ones(x.shape, np.int32)),
        case("FillScalar", cells.plus_a_filled, one, lambda x: x + np.float32(2.5)),
        case("FullLike", Apply(mint.full_like, 3), (INTEGERS,), lambda x: np.full_like(x, 3)),
    ]


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _gelu(approximate: str) -> Expected:
    return lambda x: run_onnx([onnx_node("Gelu", ["x"], approximate=approximate)], {"x": x})


def activation_cases() -> list[Case]:
    wide = np.float32([-90, -20, -1, 0, 1, 20, 90])
    return [
        case("Sigmoid", mint.sigmoid, (X,), lambda x: 1 / (1 + np.exp(-x))),
        case("SiLU", functional.silu, (X,), lambda x: x / (1 + np.exp(-x))),
        case("ReLU", functional.relu, (X,), lambda x: np.maximum(x, 0)),
        case("GeLU", Apply(ops.gelu, "tanh"), (X,), _gelu("tanh")),
        case("GeluExt", functional.gelu, (X,), _gelu("none")),
        case("GeluExt", Apply(functional.gelu, approximate="tanh"), (X,), _gelu("tanh")),
        case("Softplus", ops.Softplus(), (wide,), _softplus),
        case("SoftplusExt", functional.softplus, (wide,), _softplus),
        case("Mish", ops.Mish(), (X,), lambda x: x * np.tanh(_softplus(x))),
        case("MishExt", functional.mish, (wide,), lambda x: x * np.tanh(_softplus(x))),
        case("Softmax", Apply(mint.softmax, dim=-2), (X,), lambda x: _softmax(x, 1)),
        case("Softmax", ops.Softmax(), (X,), lambda x: _softmax(x, 2)),
    ]


def _attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, scale: float, mask: np.ndarray) -> np.ndarray:
    scores = np.where(mask, -np.inf, np.einsum("bnqd,bnkd->bnqk", query, key) * scale)
    return np.einsum("bnqk,bnkd->bnqd", _softmax(scores, -1), value).astype(np.float32)


def _attention_in_one_width(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    heads = [array.reshape(2, -1, 2, 4).swapaxes(1, 2) for array in (query, key, value)]
    return _attention(*heads, 0.5, np.False_).swapaxes(1, 2).reshape(query.shape)


def product_cases() -> list[Case]:
    left, right, matrix, row = normal(2, 3, 4), normal(2, 4, 5), normal(5, 4), normal(5)
    heads, mask = tuple(normal(2, 2, 3, 4) for _ in range(3)), np.triu(np.ones((2, 1, 3, 3), np.uint8), 1)
    return [
        case("MatMul", ops.MatMul(transpose_a=True), (left[0], normal(3, 2)), lambda a, b: a.T @ b),
        case("MatMul", cells.biased_product_and_itself, (X[0], matrix, row), lambda x, w, b: (x @ w.T + b, x @ w.T)),
        case(
            "BatchMatMul",
            ops.BatchMatMul(transpose_b=True),
            (left, right.swapaxes(1, 2).copy()),
            lambda *_: left @ right,
        ),
        case("MatMulExt", mint.matmul, (left[:, None], right), np.matmul),
        case("BatchMatMulExt", mint.bmm, (left, right), np.matmul),
        case("Dense", functional.linear, (X, matrix, row), lambda x, w, b: x @ w.T + b),
        case("Dense", functional.linear, (X, matrix), lambda x, w: x @ w.T),
        case("BiasAdd", ops.BiasAdd(), (X, normal(3)), lambda x, b: x + b[:, None]),
        case("BiasAdd", ops.BiasAdd("NCDHW"), (IMAGE[..., None], BETA), lambda x, b: x + b[:, None, None, None]),
        case("BiasAdd", ops.BiasAdd(), (X[0], normal(4)), np.add),
        case("BiasAdd", cells.biased_batch_of_products, (left, normal(2, 5, 4), normal(3)), _biased_products),
        case("Baddbmm", Apply(mint.baddbmm, beta=2, alpha=0.5), (normal(3, 5), left, right), _scaled_product(2, 0.5)),
        case(
            "Baddbmm", Apply(mint.baddbmm, beta=0, alpha=0.5), (normal(2, 3, 5), left, right), _scaled_product(0, 0.5)
        ),
        case("Addmm", mint.addmm, (row, left[0], right[0]), _scaled_product(1, 1)),
        case("Outer", mint.outer, (normal(3), normal(5)), np.outer),
        case(
            "FlashAttentionScore",
            cells.flash_attention,
            (normal(2, 5, 8), normal(2, 3, 8), normal(2, 3, 8)),
            _attention_in_one_width,
        ),
        case(
            "FlashAttentionScore",
            cells.masked_flash_attention,
            (*heads, mask),
            lambda q, k, v, m: _attention(q, k, v, 0.25, m),
        ),
    ]


def _biased_products(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x @ weight.swapaxes(1, 2) + bias[:, None]


def _scaled_product(beta: float, alpha: float) -> Expected:
    return lambda x, a, b: np.float32(beta) * x + np.float32(alpha) * (a @ b)


def _conv(*pads: int, bias: bool = False, **attributes: Any) -> Expected:
    """onnxruntime's convolution; pads are top, left, bottom, right."""

    def run(x: np.ndarray, weight: np.ndarray, *rest: np.ndarray) -> list[np.ndarray]:
        feeds = {"x": x, "w": weight} | ({"b": rest[0]} if rest else {})
        return run_onnx([onnx_node("Conv", list(feeds), pads=list(pads or (0, 0, 0, 0)), **attributes)], feeds)

    return run


def _convolution_twice(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    return [*_conv(1, 1, 1, 1)(x, weight, bias), *_conv(1, 1, 1, 1)(x, weight)]


def convolution_cases() -> list[Case]:
    conv, tall, small = functional.conv2d, normal(4, 8, 2, 3), normal(8, 2, 3, 3)
    keys = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    odd = normal(2, 8, 7, 5)
    return [
        case(
            "Conv2D",
            ops.Conv2D(8, 3, pad_mode="pad", pad=(1, 2, 0, 3), stride=2),  # top, bottom, left, right
            (IMAGE, KERNEL),
            _conv(1, 0, 2, 3, strides=[2, 2]),
        ),
        case("Conv2D", Apply(ops.conv2d, None, 2, "same"), (odd, KERNEL), None),
        case("Conv2D", Apply(ops.conv2d, None, 1, "same"), (IMAGE, tall), None),
        case("Conv2D", Apply(ops.conv2d, None, 2, "valid", 0, 2), (odd, tall), _conv(strides=[2, 2], dilations=[2, 2])),
        case("Conv2D", Apply(ops.conv2d, None, 1, "pad", 1, 1, 4), (IMAGE, small), _conv(1, 1, 1, 1, group=4)),
        case("BiasAdd", cells.biased_convolution_and_itself, (IMAGE, KERNEL, BETA), _convolution_twice),
        case("Conv2DExt", Apply(conv, None, 1, 1), (IMAGE, KERNEL), _conv(1, 1, 1, 1)),
        case(
            "Conv2DExt", Apply(conv, **keys), (IMAGE, KERNEL, BETA), _conv(1, 2, 1, 2, strides=[2, 1], dilations=[1, 2])
        ),
        case("Conv2DExt", Apply(conv, None, 1, 1, 1, 4), (IMAGE, small), _conv(1, 1, 1, 1, group=4)),
        case("Convolution", Apply(conv, padding="same"), (IMAGE, tall), _conv(0, 1, 1, 1)),
        case("AvgPool", ops.AvgPool((2, 3), (2, 1)), (IMAGE,), None),
        case(
            "AvgPool2D", Apply(functional.avg_pool2d, 2), (IMAGE,), lambda x: x.reshape(2, 8, 3, 2, 3, 2).mean((3, 5))
        ),
        case(
            "AvgPool2D",
            Apply(functional.avg_pool2d, 2, ceil_mode=True),
            (IMAGE,),
            lambda x: x.reshape(2, 8, 3, 2, 3, 2).mean((3, 5)),
        ),
    ]


def _normalised(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def _group_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    groups = _normalised(x.reshape(2, 4, -1), (2,), 1e-2).reshape(x.shape)
    return groups * gamma[:, None, None] + beta[:, None, None]


def normalization_cases() -> list[Case]:
    gamma, beta, block = normal(4), normal(4), (normal(3, 4), normal(3, 4))
    return [
        case("GroupNorm", cells.group_norm, (IMAGE, GAMMA, BETA), _group_norm),
        case("LayerNorm", cells.layer_norm, (X, *block), lambda x, g, b: _normalised(x, (1, 2), 1e-3) * g + b),
        case(
            "LayerNormExt",
            cells.layer_norm_of_rows,
            (X, gamma, beta),
            lambda x, g, b: _normalised(x, (2,), 1e-3) * g + b,
        ),
        case(
            "LayerNormExt",
            cells.layer_norm_of_blocks,
            (X, *block),
            lambda x, g, b: _normalised(x, (1, 2), 1e-5) * g + b,
        ),
        case("LayerNormExt", Apply(functional.layer_norm, (3, 4)), (X,), lambda x: _normalised(x, (1, 2), 1e-5)),
        case(
            "RmsNorm",
            cells.rms_norm,
            (X, gamma),
            lambda x, g: x / np.sqrt(np.square(x).mean(2, keepdims=True) + 1e-2) * g,
        ),
    ]


def reduction_cases() -> list[Case]:
    return [
        case("ReduceSum", Apply(ops.ReduceSum(), (0, -1)), (X,), lambda x: x.sum((0, 2))),
        case("ReduceSum", ops.ReduceSum(keep_dims=True), (X,), lambda x: x.sum(keepdims=True)),
        case("SumExt", Apply(mint.sum, dim=1), (X,), lambda x: x.sum(1)),
        case("SumExt", mint.sum, (X,), lambda x: x.sum()),
        case(
            "SumExt",
            Apply(mint.sum, dim=-1, keepdim=True),
            (INTEGERS,),
            lambda x: x.sum(1, keepdims=True, dtype=np.int64),
        ),
        case("ReduceMean", Apply(ops.mean, -2, True), (X,), lambda x: x.mean(1, keepdims=True)),
        case("MeanExt", Apply(mint.mean, dim=(0, -1), keepdim=True), (X,), lambda x: x.mean((0, 2), keepdims=True)),
        case(
            "MeanExt", Apply(mint.mean, dim=1, dtype=mindspore.float32), (HALF,), lambda x: x.astype(np.float32).mean(1)
        ),
        case("ReduceMax", Apply(mint.amax, (0, -1), True), (X,), lambda x: x.max((0, 2), keepdims=True)),
        case("ReduceMin", Apply(mint.amin, 1), (X,), lambda x: x.min(1)),
        case("Max", mint.max, (X,), np.max),
        case("Min", mint.min, (X,), np.min),
        case(
            "LinalgVectorNorm",
            Apply(mint.norm, dim=-1, keepdim=True),
            (X,),
            lambda x: np.linalg.norm(x, axis=2, keepdims=True),
        ),
        case("LinalgVectorNorm", mint.norm, (X,), lambda x: np.sqrt(np.square(x).sum())),
    ]
