"""bias-fusion: biases of products and biases before activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.fusions.bias import BiasFusion
from coopdraw.graphs.types import DType, TensorType

# Products of at most 36 terms of about 1 in another order: some ulp (6e-8) of their absolute sum.
TOLERANCE = 1e-5
CONV = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


class Writer:
    """A graph of products of x; `fixed` makes weights, or constants if `constants`."""

    def __init__(self, constants: bool = False) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "layer"
        self.constants = constants
        self.weights: dict[str, TensorType] = {}

    def input(self, *shape: int) -> Value:
        return self.builder.input("x", TensorType(DType.FLOAT32, shape))

    def fixed(self, name: str, *shape: int) -> Value:
        if self.constants:
            values = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)
            return self.builder.constant(values)
        self.weights[name] = TensorType(DType.FLOAT32, shape)
        return self.builder.weight(name, self.weights[name])

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def matmul(self, a: Value, b: Value, transpose_b: bool = False) -> Value:
        return self.add("matmul", a, b, transpose_a=False, transpose_b=transpose_b)

    def conv(self, *bias: Value) -> Value:
        return self.add("conv2d", self.input(2, 4, 3, 3), self.fixed("weight", 5, 4, 3, 3), *bias, **CONV)

    def fuse(self, *outputs: Value) -> PassResult:
        graph = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        return fuse(BiasFusion(), Module(graph, {}, random_weights(self.weights)), tolerance=TOLERANCE)


def taken(result: PassResult) -> set[str]:
    """The operators that are left besides views."""
    assert result.misses == ()
    return set(operators(result.module)) - {"reshape", "transpose"}


VECTORS: dict[str, Callable[[Writer], Value]] = {
    "(C, 1, 1)": lambda w: w.fixed("bias", 5, 1, 1),
    "(1, C, 1, 1)": lambda w: w.fixed("bias", 1, 5, 1, 1),
    "reshaped": lambda w: w.add("reshape", w.fixed("bias", 5), shape=(1, 5, 1, 1)),
    "reshaped twice": lambda w: w.add("reshape", w.add("reshape", w.fixed("bias", 5), shape=(5, 1)), shape=(5, 1, 1)),
}


@pytest.mark.parametrize("vector", sorted(VECTORS))
@pytest.mark.parametrize("constants", [False, True])
@pytest.mark.parametrize("bias_first", [False, True])
def test_a_convolution_takes_its_bias(vector: str, constants: bool, bias_first: bool) -> None:
    writer = Writer(constants)
    operands = [writer.conv(), VECTORS[vector](writer)]
    result = writer.fuse(writer.add("add", *(operands[::-1] if bias_first else operands)))
    assert taken(result) == {"conv2d"}
    conv = only(result.module, "conv2d")
    assert conv.inputs[2].type.shape == (5,)
    assert conv.attributes == CONV


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5)])
@pytest.mark.parametrize("constants", [False, True])
def test_a_linear_takes_its_bias(shape: tuple[int, ...], constants: bool) -> None:
    writer = Writer(constants)
    product = writer.add("linear", writer.input(2, 3, 4), writer.fixed("weight", 5, 4))
    result = writer.fuse(writer.add("add", product, writer.fixed("bias", *shape)))
    assert taken(result) == {"linear"}
    assert len(only(result.module, "linear").inputs) == 3


@settings(max_examples=40)
@given(leading=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), inner=st.integers(2, 4), out=st.integers(2, 4))
def test_a_matmul_with_a_transposed_weight_becomes_linear(leading: tuple[int, ...], inner: int, out: int) -> None:
    writer = Writer()
    product = writer.matmul(writer.input(*leading, inner), writer.fixed("weight", out, inner), transpose_b=True)
    result = writer.fuse(writer.add("add", product, writer.fixed("bias", out)))
    assert operators(result.module) == {"linear": 1}


def test_a_matmul_with_the_transpose_of_a_weight_becomes_linear() -> None:
    writer = Writer()
    weight = writer.add("transpose", writer.fixed("weight", 5, 4), permutation=(1, 0))
    result = writer.fuse(writer.add("add", writer.matmul(writer.input(2, 4), weight), writer.fixed("bias", 5)))
    assert operators(result.module) == {"linear": 1}


def test_a_matmul_with_a_constant_becomes_linear() -> None:
    writer = Writer(constants=True)
    product = writer.matmul(writer.input(2, 4), writer.fixed("weight", 4, 5))
    result = writer.fuse(writer.add("add", product, writer.fixed("bias", 5)))
    assert operators(result.module) == {"linear": 1}


ACTIVATIONS: dict[str, Callable[[Writer, Value], Value]] = {
    "silu": lambda w, x: w.add("mul", x, w.add("sigmoid", x)),
    "relu": lambda w, x: w.add("relu", x),
    "gelu": lambda w, x: w.add("gelu", x, approximate="none"),
    "gelu_tanh": lambda w, x: w.add("gelu", x, approximate="tanh"),
}


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@settings(max_examples=15)
@given(shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=4), data=st.data())
def test_a_bias_and_an_activation(activation: str, shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    writer = Writer(constants=data.draw(st.booleans()))
    bias = writer.fixed("bias", shape[axis], *[1] * (len(shape) - axis - 1))
    result = writer.fuse(ACTIVATIONS[activation](writer, writer.add("add", writer.input(*shape), bias)))
    assert taken(result) == {"bias_activation"}
    assert only(result.module, "bias_activation").attributes == {"axis": axis, "activation": activation}


def test_the_product_comes_before_the_activation() -> None:
    writer = Writer()
    result = writer.fuse(writer.add("silu", writer.add("add", writer.conv(), writer.fixed("bias", 5, 1, 1))))
    assert taken(result) == {"conv2d", "silu"}


def test_what_a_product_cannot_take_goes_into_the_activation() -> None:
    writer = Writer()
    product = writer.matmul(writer.input(2, 4), writer.fixed("weight", 4, 5))
    result = writer.fuse(writer.add("silu", writer.add("add", product, writer.fixed("bias", 5))))
    assert taken(result) == {"matmul", "bias_activation"}


def test_a_bias_along_another_axis_is_not_that_of_the_product() -> None:
    writer = Writer()
    total = writer.add("add", writer.conv(), writer.fixed("bias", 3))
    result = writer.fuse(writer.add("relu", total))
    assert taken(result) == {"conv2d", "bias_activation"}
    assert only(result.module, "bias_activation").attributes["axis"] == 3


def reason(result: PassResult, node: str = "%add (add, Cell layer)") -> str:
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == node
    return miss.reason


def test_a_weight_in_the_other_layout_is_a_miss() -> None:
    writer = Writer()
    product = writer.matmul(writer.input(2, 4), writer.fixed("weight", 4, 5))
    assert reason(writer.fuse(writer.add("add", product, writer.fixed("bias", 5)))) == (
        "%matmul (matmul, Cell layer) isn't a product with a weight of (out, in), which linear takes"
    )


def test_a_product_of_two_inputs_is_a_miss() -> None:
    writer = Writer()
    x = writer.input(4, 4)
    result = writer.fuse(writer.add("add", writer.matmul(x, x, transpose_b=True), writer.fixed("bias", 4)))
    assert "isn't a product with a weight" in reason(result)


def test_a_batch_of_weights_is_a_miss() -> None:
    writer = Writer()
    product = writer.matmul(writer.input(2, 3, 4), writer.fixed("weight", 2, 5, 4), transpose_b=True)
    result = writer.fuse(writer.add("add", product, writer.fixed("bias", 5)))
    assert "isn't a product with a weight" in reason(result)


def test_another_reader_of_the_product_is_a_miss() -> None:
    writer = Writer()
    product = writer.conv()
    total = writer.add("add", product, writer.fixed("bias", 5, 1, 1))
    writer.builder.source = "probe"
    result = writer.fuse(total, writer.add("neg", product))
    assert reason(result) == "what the bias is added to has another user, %neg (neg, Cell probe)"


def test_a_second_bias_is_a_miss() -> None:
    writer = Writer()
    total = writer.add("add", writer.conv(writer.fixed("first", 5)), writer.fixed("second", 5, 1, 1))
    assert reason(writer.fuse(total)) == "%conv2d (conv2d, Cell layer) has a bias already, %first"


def test_a_second_constant_bias_is_no_miss() -> None:
    writer = Writer(constants=True)
    product = writer.add("linear", writer.input(2, 4), writer.fixed("weight", 5, 4), writer.fixed("first", 5))
    result = writer.fuse(writer.add("add", product, writer.fixed("second", 5)))
    assert not result.modified
    assert result.misses == ()


@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 1, 1), (5, 3, 1), (2, 5, 1, 1)])
def test_what_is_no_vector_is_no_bias(shape: tuple[int, ...]) -> None:
    writer = Writer()
    result = writer.fuse(writer.add("add", writer.conv(), writer.fixed("other", *shape)))
    assert not result.modified
    assert result.misses == ()


def test_what_is_computed_is_no_bias() -> None:
    writer = Writer()
    embedding = writer.builder.input("embedding", TensorType(DType.FLOAT32, (1, 5, 1, 1)))
    result = writer.fuse(writer.add("add", writer.conv(), embedding))
    assert not result.modified
    assert result.misses == ()


def test_a_sum_that_widens_its_first_operand_is_left_alone() -> None:
    writer = Writer()
    narrow = writer.add("linear", writer.input(2, 4), writer.fixed("weight", 1, 4))
    result = writer.fuse(writer.add("add", narrow, writer.fixed("bias", 5)))
    assert not result.modified


def test_a_sum_that_is_read_besides_its_activation_is_left_alone() -> None:
    writer = Writer()
    total = writer.add("add", writer.input(2, 4), writer.fixed("bias", 4))
    result = writer.fuse(writer.add("silu", total), writer.add("neg", total))
    assert not result.modified
