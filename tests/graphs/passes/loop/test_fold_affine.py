"""fold-affine: where factors and offsets go, and what keeps them where they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from graphs.passes.random_graphs import run

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.loop.fold_affine import FoldAffine
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight, ScaledWeight

Kind = Literal["linear", "conv2d", "grouped"]
KINDS: tuple[Kind, ...] = ("linear", "conv2d", "grouped")
CHANNELS = np.array([0.3, -1.7, 2.5, 0.9], np.float32)


class Layer:
    """x -> operations -> layer -> operations, with random weights."""

    def __init__(self, kind: Kind, *, bias: bool = True, padding: int = 0, dtype: DType = DType.FLOAT32) -> None:
        self.builder = GraphBuilder("main")
        self.kind, self.padding, self.dtype = kind, padding, dtype
        self.x = self.builder.input("x", TensorType(dtype, (3, 4) if kind == "linear" else (1, 4, 5, 5)))
        columns = 2 if kind == "grouped" else 4
        random = np.random.default_rng(0)
        self.weights = {
            "w": random.standard_normal((4, columns, *([] if kind == "linear" else [3, 3]))).astype(dtype.numpy)
        }
        if bias:
            self.weights["b"] = random.standard_normal(4).astype(dtype.numpy)

    def constant(self, array: np.ndarray | float) -> Value:
        return self.builder.constant(np.asarray(array, self.dtype.numpy))

    def per_channel(self) -> Value:
        return self.constant(CHANNELS if self.kind == "linear" else CHANNELS.reshape(4, 1, 1))

    def apply(self, operator: str, x: Value, constant: Value, *, reverse: bool = False) -> Value:
        self.builder.source = "beside"
        return self.builder.add(operator, *([constant, x] if reverse else [x, constant]))

    def __call__(self, x: Value) -> Value:
        self.builder.source = "layer"
        operands = [self.builder.weight(name, TensorType.of(array)) for name, array in self.weights.items()]
        if self.kind == "linear":
            return self.builder.add("linear", x, *operands, name="result")
        return self.builder.add(
            "conv2d",
            x,
            *operands,
            name="result",
            stride=(1, 1),
            padding=(self.padding,) * 4,
            dilation=(1, 1),
            groups=2 if self.kind == "grouped" else 1,
        )

    def module(self, *outputs: Value) -> Module:
        weights = {name: ArrayWeight(array) for name, array in self.weights.items()}
        return Module(self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))]), {}, weights)


def folded(module: Module, tolerance: float = 1e-5) -> PassResult:
    """The result, checked on random numbers.

    Sums of up to 36 products of numbers around 1 in float32: 1e-5 is some ten times their rounding.
    """
    result = FoldAffine().run(module)
    verify(result.module)
    random = np.random.default_rng(1)
    inputs = {v.name: random.standard_normal(v.type.shape).astype(v.type.dtype.numpy) for v in module.entry.inputs}
    wanted, found = run(module, inputs), run(result.module, inputs)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name].astype(np.float64), array.astype(np.float64), rtol=0, atol=tolerance)
    return result


def operators(module: Module) -> list[str]:
    return [node.operator for node in module.entry.nodes if node.operator not in ("weight", "constant")]


def name_of(kind: Kind) -> str:
    return "linear" if kind == "linear" else "conv2d"


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("operator", ["mul", "add", "sub"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_operation_behind_and_before_a_layer(kind: Kind, bias: bool, operator: str, reverse: bool) -> None:
    layer = Layer(kind, bias=bias)
    before = layer.apply(operator, layer.x, layer.per_channel(), reverse=reverse)
    behind = layer.apply(operator, layer(before), layer.per_channel(), reverse=reverse)
    result = folded(layer.module(behind))
    assert operators(result.module) == [name_of(kind)]
    assert result.rewrites == 2
    assert result.misses == ()
    (node,) = [node for node in result.module.entry.nodes if node.operator == name_of(kind)]
    assert node.source == "layer"
    assert len(node.inputs) == (2 if operator == "mul" and not bias else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_division_by_a_scalar_before_a_layer_leaves_the_bias(kind: Kind) -> None:
    """As a VAE divides its latent by a scaling factor."""
    layer = Layer(kind, padding=1)
    result = folded(layer.module(layer(layer.apply("div", layer.x, layer.constant(0.18215)))))
    assert operators(result.module) == [name_of(kind)]
    weight = result.module.weights["w.folded"]
    assert isinstance(weight, ScaledWeight)
    # divided in float64 and rounded once: the nearest float32 of w / c up to the rounding of 1 / c in float64
    exact = layer.weights["w"].astype(np.float64) / np.float64(np.float32(0.18215))
    np.testing.assert_array_equal(weight.read(), exact.astype(np.float32))
    np.testing.assert_array_equal(result.module.weights["b.folded"].read(), layer.weights["b"])


def test_addition_alone_leaves_the_weight_where_it_is() -> None:
    layer = Layer("linear")
    result = folded(layer.module(layer.apply("add", layer(layer.x), layer.constant(2.0))))
    assert set(result.module.weights) == {"w", "b.folded"}


def test_padding_refuses_an_addition_before_and_takes_a_factor() -> None:
    layer = Layer("conv2d", padding=1)
    added = layer.apply("add", layer.x, layer.constant(1.0))
    module = layer.module(layer(added))
    result = FoldAffine().run(module)
    assert result.module is module
    (miss,) = result.misses
    assert miss.node == "%add (add, Cell beside)"
    assert miss.reason == "the zeros with which %result (conv2d) pads its input would not get the addition"
    layer = Layer("conv2d", padding=1)
    assert operators(folded(layer.module(layer(layer.apply("mul", layer.x, layer.per_channel())))).module) == ["conv2d"]


def test_values_that_others_read_stay() -> None:
    layer = Layer("linear")
    scaled = layer.apply("mul", layer.x, layer.constant(2.0))
    y = layer(scaled)
    behind = layer.apply("mul", y, layer.constant(3.0))
    module = layer.module(behind, y, scaled)
    result = FoldAffine().run(module)
    assert result.module is module
    assert [miss.reason for miss in result.misses] == [
        "its result is read elsewhere too",
        "the result %result of the linear is read elsewhere too",
    ]


def test_weight_that_is_read_elsewhere_stays() -> None:
    layer = Layer("linear", bias=False)
    twice = layer(layer(layer.apply("mul", layer.x, layer.constant(2.0))))
    module = layer.module(twice)
    result = FoldAffine().run(module)
    assert result.module is module
    assert [miss.reason for miss in result.misses] == [
        "the weight w is read elsewhere too and would be stored twice",
    ]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((3, 4), "the constant %constant varies along more than the channels"),
        ((3, 1), "the constant %constant varies along more than the channels"),
        ((2, 3, 4), "the constant %constant broadcasts float32[3, 4] to float32[2, 3, 4]"),
        ((1, 3, 4), "the constant %constant broadcasts float32[3, 4] to float32[1, 3, 4]"),
    ],
)
def test_constants_of_other_shapes_stay(shape: tuple[int, ...], reason: str) -> None:
    layer = Layer("linear")
    constant = layer.constant(np.arange(np.prod(shape)).reshape(shape))
    module = layer.module(layer.apply("mul", layer(layer.x), constant))
    result = FoldAffine().run(module)
    assert result.module is module
    assert [miss.reason for miss in result.misses] == [reason]


@pytest.mark.parametrize("factor", [2.0**14, 2.0**-12])
def test_half_precision_that_would_leave_its_range_stays(factor: float) -> None:
    layer = Layer("linear", bias=False, dtype=DType.FLOAT16)
    layer.weights["w"] = layer.weights["w"] * np.float16(8.0 if factor > 1 else 2.0**-8)
    module = layer.module(layer.apply("mul", layer(layer.x), layer.constant(factor)))
    result = FoldAffine().run(module)
    assert result.module is module
    assert [miss.reason for miss in result.misses] == [
        "%w times the constant leaves the range where float16 is precise"
    ]


def test_half_precision_within_its_range_is_folded() -> None:
    layer = Layer("linear", dtype=DType.FLOAT16)
    module = layer.module(layer.apply("mul", layer(layer.x), layer.per_channel()))
    # numbers up to about 10, of which float16 keeps 2^-11: 0.005 for each of the two roundings of either form
    assert operators(folded(module, tolerance=0.02).module) == ["linear"]


def test_division_by_zero_stays() -> None:
    layer = Layer("linear")
    module = layer.module(layer.apply("div", layer(layer.x), layer.constant(0.0)))
    result = FoldAffine().run(module)
    assert result.module is module
    assert "leaves the range" in result.misses[0].reason


def test_constant_divided_by_a_result_is_not_affine() -> None:
    layer = Layer("linear")
    module = layer.module(layer.apply("div", layer(layer.x), layer.constant(2.0), reverse=True))
    result = FoldAffine().run(module)
    assert result.module is module
    assert result.misses == ()


def test_layer_whose_weight_is_a_constant() -> None:
    layer = Layer("linear")
    weight = layer.constant(layer.weights["w"])
    y = layer.builder.add("linear", layer.apply("add", layer.x, layer.per_channel()), weight)
    result = folded(layer.module(layer.apply("mul", y, layer.constant(0.5))))
    assert operators(result.module) == ["linear"]
    assert [node.operator for node in result.module.entry.nodes] == ["constant", "constant", "linear"]


def test_computed_weight_takes_offsets_only() -> None:
    layer = Layer("linear")
    weight = layer.builder.add("neg", layer.builder.weight("w", TensorType.of(layer.weights["w"])))
    y = layer.builder.add("linear", layer.x, weight)
    scaled = layer.apply("mul", y, layer.constant(0.5))
    module = layer.module(layer.apply("add", scaled, layer.constant(1.0)))
    result = FoldAffine().run(module)
    assert result.module is module
    assert [miss.reason for miss in result.misses] == ["its operand %neg is neither a weight nor a constant"]
    layer = Layer("linear")
    weight = layer.builder.add("neg", layer.builder.weight("w", TensorType.of(layer.weights["w"])))
    y = layer.builder.add("linear", layer.x, weight)
    assert operators(folded(layer.module(layer.apply("add", y, layer.per_channel()))).module) == ["neg", "linear"]
