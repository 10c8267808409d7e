"""layer-norm-fusion: sums in front of norms, and who reads them."""

from __future__ import annotations

from graphs.passes.fusions.equivalence import fuse, only, operators, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.fusions.layer_norm import LayerNormFusion
from coopdraw.graphs.types import DType, TensorType

# Sums in another order: some ulp of float32 (6e-8), divided by spreads that the epsilon of 1e-2 keeps above 0.1.
TOLERANCE = 1e-5


class Tokens:
    """A graph around norms of tokens."""

    def __init__(self, *shape: int) -> None:
        self.builder = GraphBuilder("main")
        self.type = TensorType(DType.FLOAT32, shape)
        self.weights: dict[str, TensorType] = {}

    def input(self, name: str, *shape: int) -> Value:
        return self.builder.input(name, TensorType(DType.FLOAT32, shape) if shape else self.type)

    def norm(self, x: Value, name: str = "norm", axes: int = 1) -> Value:
        vector = TensorType(DType.FLOAT32, x.type.shape[-axes:])
        self.weights |= {f"{name}.gamma": vector, f"{name}.beta": vector}
        operands = [self.builder.weight(f"{name}.{kind}", vector) for kind in ("gamma", "beta")]
        return self.builder.add("layer_norm", x, *operands, epsilon=1e-2)

    def fuse(self, *outputs: Value) -> PassResult:
        graph = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        return fuse(LayerNormFusion(), Module(graph, {}, random_weights(self.weights)), tolerance=TOLERANCE)


@settings(max_examples=40)
@given(shape=hnp.array_shapes(max_dims=4, max_side=5), kept=st.booleans(), doubled=st.booleans())
def test_a_sum_before_a_norm(shape: tuple[int, ...], kept: bool, doubled: bool) -> None:
    tokens = Tokens(*shape)
    x = tokens.input("x")
    total = tokens.builder.add("add", x, x if doubled else tokens.input("added"))
    reader = tokens.builder.add("neg", total)  # before the norm: the fused node must move up
    y = tokens.norm(total)
    result = tokens.fuse(y, reader) if kept else tokens.fuse(y)
    assert result.rewrites == 1
    assert operators(result.module) == {"fused_layer_norm": 1, "neg": 1} if kept else {"fused_layer_norm": 1}
    assert only(result.module, "fused_layer_norm").attributes["keep_sum"] is kept


def test_transformer_blocks() -> None:
    """Every norm but the first makes the sum that it and the next residual read."""
    tokens = Tokens(2, 3, 4)
    x = tokens.input("x")
    for index in range(4):
        y = tokens.norm(x, f"norm.{index}")
        x = tokens.builder.add("add", tokens.builder.add("tanh", y), x)
    result = tokens.fuse(x)
    assert result.misses == ()
    assert operators(result.module) == {"layer_norm": 1, "fused_layer_norm": 3, "tanh": 4, "add": 1}


def test_the_first_of_two_norms_makes_the_sum_for_both() -> None:
    tokens = Tokens(2, 4)
    total = tokens.builder.add("add", tokens.input("x"), tokens.input("added"))
    result = tokens.fuse(tokens.norm(total, "first"), tokens.norm(total, "second"))
    assert operators(result.module) == {"fused_layer_norm": 1, "layer_norm": 1}
    assert only(result.module, "layer_norm").inputs[0] is only(result.module, "fused_layer_norm").outputs[1]


def test_a_sum_that_broadcasts_stays_outside() -> None:
    tokens = Tokens(2, 3, 4)
    result = tokens.fuse(tokens.norm(tokens.builder.add("add", tokens.input("x"), tokens.input("position", 3, 4))))
    assert not result.modified
    assert result.misses == ()


def test_a_norm_without_a_sum_is_no_miss() -> None:
    tokens = Tokens(2, 4)
    result = tokens.fuse(tokens.norm(tokens.input("x")))
    assert not result.modified
    assert result.misses == ()


def test_a_norm_of_several_axes_is_a_miss() -> None:
    tokens = Tokens(2, 3, 4)
    total = tokens.builder.add("add", tokens.input("x"), tokens.input("added"))
    tokens.builder.source = "block.norm"
    result = tokens.fuse(tokens.norm(total, axes=2))
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%layer_norm (layer_norm, Cell block.norm)"
    assert miss.reason == "it normalises 2 axes; fused_layer_norm only takes the last one"
