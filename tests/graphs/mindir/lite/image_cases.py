"""Small graphs of images, tokens and weights: the ways between them that networks take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, Weight


class ImageBuilder(GraphBuilder):
    """A builder whose layers make their weights."""

    def __init__(self) -> None:
        super().__init__("main")
        self.weights: dict[str, Weight] = {}
        self._random = np.random.default_rng(11)

    def image(self, name: str, *shape: int) -> Value:
        return self.input(name, TensorType(DType.FLOAT32, shape))

    def parameter(self, *shape: int) -> Value:
        """A weight; products with it keep the size of numbers."""
        fan_in = max(1, int(np.prod(shape[1:])))
        array = (self._random.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)
        name = f"weight{len(self.weights)}"
        self.weights[name] = ArrayWeight(array)
        return self.weight(name, TensorType.of(array))

    def convolution(self, x: Value, channels: int, size: int, stride: int = 1) -> Value:
        weight = self.parameter(channels, x.type.shape[1], size, size)
        settings = {"stride": (stride,) * 2, "padding": (size // 2,) * 4, "dilation": (1, 1), "groups": 1}
        return self.add("conv2d", x, weight, self.parameter(channels), **settings)

    def normalised(self, x: Value, groups: int = 4) -> Value:
        channels = x.type.shape[1]
        y = self.add("group_norm", x, self.parameter(channels), self.parameter(channels), groups=groups, epsilon=1e-5)
        return self.add("silu", y)

    def dense(self, x: Value, columns: int) -> Value:
        return self.add("linear", x, self.parameter(columns, x.type.shape[-1]), self.parameter(columns))

    def as_tokens(self, x: Value) -> Value:
        batch, channels, height, width = x.type.shape
        flat = self.add("reshape", x, shape=(batch, channels, height * width))
        return self.add("transpose", flat, permutation=(0, 2, 1))

    def as_image(self, tokens: Value, height: int, width: int) -> Value:
        batch, _, channels = tokens.type.shape
        flat = self.add("transpose", tokens, permutation=(0, 2, 1))
        return self.add("reshape", flat, shape=(batch, channels, height, width))


def image_module(build: Callable[[ImageBuilder], Value | list[Value]]) -> Module:
    builder = ImageBuilder()
    result = build(builder)
    outputs = result if isinstance(result, list) else [result]
    graph = builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
    return Module(graph, {}, builder.weights)


def residual_block(b: ImageBuilder) -> Value:
    x, embedding = b.image("x", 2, 16, 8, 8), b.image("embedding", 2, 16)
    y = b.convolution(b.normalised(x), 16, 3)
    y = b.add("add", y, b.add("reshape", embedding, shape=(2, 16, 1, 1)))
    return b.add("add", x, b.convolution(b.normalised(y), 16, 3))


def transformer_block(b: ImageBuilder) -> Value:
    x = b.convolution(b.image("x", 2, 16, 8, 8), 32, 3, stride=2)
    tokens = b.dense(b.as_tokens(b.normalised(x)), 32)
    parts = b.add_many("split", b.dense(tokens, 96), axis=2, sizes=(32, 32, 32))
    attended = b.add("attention", *parts, heads=2, scale=0.25, layout="BSH")
    tokens = b.add("add", b.dense(attended, 32), tokens)
    gated = b.add("geglu", b.dense(tokens, 128), approximate="none", gate="second")
    tokens = b.add("add", b.dense(gated, 32), tokens)
    return b.convolution(b.add("add", b.as_image(b.dense(tokens, 32), 4, 4), x), 16, 3)


def skips(b: ImageBuilder) -> list[Value]:
    x, control = b.image("x", 2, 8, 8, 8), b.image("control", 2, 16, 4, 4)
    first = b.convolution(x, 16, 3)
    second = b.add("add", b.convolution(first, 16, 3, stride=2), control)
    up = b.add("resize", second, size=(8, 8), mode="nearest", coordinates="asymmetric")
    joined = b.add("concat", b.convolution(up, 16, 3), first, axis=1)
    low, high = b.add_many("split", b.convolution(b.normalised(joined), 12, 3), axis=1, sizes=(4, 8))
    return [b.convolution(joined, 8, 1), b.add("tanh", low), high, b.convolution(joined, 4, 3)]


def tokens_before_a_convolution(b: ImageBuilder) -> Value:
    return b.convolution(b.as_image(b.image("tokens", 2, 64, 32), 8, 8), 16, 3)


def tokens_minus_an_image(b: ImageBuilder) -> Value:
    image = b.as_image(b.image("tokens", 2, 64, 32), 8, 8)
    return b.convolution(b.add("sub", image, b.convolution(b.image("x", 2, 4, 8, 8), 32, 3)), 16, 3)


def tokens_resized(b: ImageBuilder) -> Value:
    image = b.as_image(b.image("tokens", 2, 64, 32), 8, 8)
    return b.convolution(b.add("resize", image, size=(16, 16), mode="nearest", coordinates="asymmetric"), 16, 3)


def pixels_into_channels(b: ImageBuilder) -> list[Value]:
    """The first step of a T2I-Adapter, and its way down."""
    x = b.add("reshape", b.image("x", 1, 3, 16, 16), shape=(1, 3, 8, 2, 8, 2))
    x = b.add("reshape", b.add("transpose", x, permutation=(0, 1, 3, 5, 2, 4)), shape=(1, 12, 8, 8))
    feature = b.add("relu", b.convolution(x, 16, 3))
    return [feature, b.convolution(b.add("avg_pool2d", feature, kernel=(2, 2), stride=(2, 2)), 16, 1)]


def masked(b: ImageBuilder) -> Value:
    x, mask, factor = b.image("x", 2, 4, 8, 8), b.image("mask", 1, 1, 8, 8), b.image("factor", 2, 4, 1, 1)
    y = b.add("add", b.add("mul", b.convolution(x, 4, 3), mask), factor)
    return b.convolution(y, 4, 3)


def pooled_rows_of_a_table(b: ImageBuilder) -> Value:
    indices = b.input("tokens", TensorType(DType.INT32, (1, 6)))
    return b.add("reduce_mean", b.add("gather", b.parameter(20, 8), indices, axis=0), axes=(1,), keepdims=False)


CASES = {
    build.__name__: image_module(build)
    for build in (
        residual_block,
        transformer_block,
        skips,
        tokens_before_a_convolution,
        tokens_minus_an_image,
        tokens_resized,
        pixels_into_channels,
        masked,
        pooled_rows_of_a_table,
    )
}
