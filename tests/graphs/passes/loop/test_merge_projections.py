"""merge-projections: which layers are merged, what their weight is called, and that no bytes are read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from graphs.passes.random_graphs import run

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.loop.merge_projections import MergeProjections, merged_name
from coopdraw.graphs.passes.loop.projections import Kind
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ConcatenatedWeight, Weight

TOKENS, TEXT = TensorType(DType.FLOAT32, (2, 5, 8)), TensorType(DType.FLOAT32, (2, 3, 6))


@dataclass(frozen=True)
class Counted(Weight):
    """Random numbers that are counted when they are read."""

    type: TensorType
    seed: int
    reads: list[int] = field(default_factory=list)

    def read(self) -> np.ndarray:
        self.reads.append(1)
        return np.random.default_rng(self.seed).standard_normal(self.type.shape).astype(self.type.dtype.numpy)


class Network:
    """A graph with linear layers whose weights are made as they are named."""

    def __init__(self) -> None:
        self.builder = GraphBuilder("main")
        self.weights: dict[str, Counted] = {}

    def linear(self, x: Value, rows: int, name: str, *, bias: bool = False) -> Value:
        self.builder.source = name
        operands = [self._weight(f"{name}.weight", (rows, x.type.shape[-1]))]
        if bias:
            operands.append(self._weight(f"{name}.bias", (rows,)))
        return self.builder.add("linear", x, *operands, name=name)

    def _weight(self, name: str, shape: tuple[int, ...]) -> Value:
        type = TensorType(DType.FLOAT32, shape)
        self.weights.setdefault(name, Counted(type, len(self.weights)))
        return self.builder.weight(name, type)

    def heads(self, x: Value) -> Value:
        batch, tokens, width = x.type.shape
        split = self.builder.add("reshape", x, shape=(batch, tokens, 2, width // 2))
        return self.builder.add("transpose", split, permutation=(0, 2, 1, 3))

    def attention(self, x: Value, text: Value, name: str, *, fused: bool = False) -> Value:
        query = self.linear(x, 8, f"{name}.to_q")
        key, value = (self.linear(text, 8, f"{name}.to_{letter}") for letter in "kv")
        if fused:
            return self.builder.add("attention", query, key, value, heads=2, scale=0.5, layout="BSH")
        query, key, value = (self.heads(each) for each in (query, key, value))
        scores = self.builder.add("matmul", query, key, transpose_a=False, transpose_b=True)
        scaled = self.builder.add("mul", scores, self.builder.constant(np.array(0.5, np.float32)))
        probabilities = self.builder.add("softmax", scaled, axis=3)
        return self.builder.add("matmul", probabilities, value, transpose_a=False, transpose_b=False)

    def module(self, *outputs: Value) -> Module:
        names = [f"y{index}" for index in range(len(outputs))]
        return Module(self.builder.build(outputs, names), {}, dict(self.weights))


def merged(module: Module, kinds: tuple[Kind, ...] = ("self_attention", "same_input")) -> Module:
    """The module after the pass, checked on random numbers."""
    result = MergeProjections(kinds).run(module)
    verify(result.module)
    random = np.random.default_rng(1)
    inputs = {v.name: random.standard_normal(v.type.shape).astype(np.float32) for v in module.entry.inputs}
    wanted, found = run(module, inputs), run(result.module, inputs)
    for name, array in wanted.items():
        # float32 sums of 8 products of numbers around 1, added up in another order: a few units in the last place
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5)
    return result.module


@pytest.mark.parametrize("fused", [False, True])
def test_self_attention_and_cross_attention_are_told_apart(fused: bool) -> None:
    network = Network()
    x, text = network.builder.input("x", TOKENS), network.builder.input("text", TEXT)
    module = network.module(
        network.attention(x, x, "attn1", fused=fused), network.attention(x, text, "attn2", fused=fused)
    )
    both = merged(module)
    only_self = merged(module, ("self_attention",))
    only_rest = merged(module, ("same_input",))
    qkv, kv = "attn1.to_q+to_k+to_v.weight", "attn2.to_k+to_v.weight"
    assert set(both.weights) == {qkv, kv, "attn2.to_q.weight"}
    assert set(only_self.weights) == {qkv, "attn2.to_q.weight", "attn2.to_k.weight", "attn2.to_v.weight"}
    assert set(only_rest.weights) == {kv, "attn2.to_q.weight", *(f"attn1.to_{letter}.weight" for letter in "qkv")}


def test_merged_weight_reads_nothing_until_it_is_read() -> None:
    network = Network()
    x = network.builder.input("x", TOKENS)
    module = network.module(network.linear(x, 3, "a.to_k", bias=True), network.linear(x, 4, "a.to_v", bias=True))
    result = MergeProjections().run(module)
    assert all(not weight.reads for weight in network.weights.values())
    weight, bias = (result.module.weights[f"a.to_k+to_v.{kind}"] for kind in ("weight", "bias"))
    assert isinstance(weight, ConcatenatedWeight)
    assert weight.rows() == {"a.to_k.weight": (0, 3), "a.to_v.weight": (3, 7)}
    assert weight.parts["a.to_v.weight"] is network.weights["a.to_v.weight"]
    np.testing.assert_array_equal(bias.read()[3:], network.weights["a.to_v.bias"].read())
    assert result.notes["nodes_removed"] == 2
    # the FLOPs are the same; two results of 10 * 7 numbers are read and written again, one reading of x is saved
    assert "flops_saved" not in result.notes
    assert result.notes["bytes_saved"] == 4 * (80 - 2 * 70)


def test_layers_with_and_without_bias_are_two_groups_and_one_alone_is_a_miss() -> None:
    network = Network()
    x = network.builder.input("x", TOKENS)
    outputs = [network.linear(x, 2, name, bias=name < "c") for name in "abcde"]
    module = network.module(*outputs)
    assert set(merged(module).weights) == {"a+b.weight", "a+b.bias", "c+d+e.weight"}
    network = Network()
    x = network.builder.input("x", TOKENS)
    module = network.module(*(network.linear(x, 2, name, bias=name < "c") for name in "abc"))
    (miss,) = MergeProjections().run(module).misses
    assert miss.node == "%c (linear, Cell c)"
    assert miss.reason == "no other layer on %x that could be merged has weight as operands"


def test_weight_that_is_read_elsewhere_is_a_miss() -> None:
    network = Network()
    x, text = network.builder.input("x", TOKENS), network.builder.input("other", TOKENS)
    module = network.module(
        network.linear(x, 2, "a"), network.linear(x, 2, "b"), network.linear(x, 2, "c"), network.linear(text, 2, "b")
    )
    result = MergeProjections().run(module)
    assert set(merged(module).weights) == {"a+c.weight", "b.weight"}
    assert [miss.node for miss in result.misses] == ["%b (linear, Cell b)"]
    assert result.misses[0].reason == "the weight b.weight is read elsewhere too and would be stored twice"


def test_constants_are_merged_and_computed_weights_are_not() -> None:
    network = Network()
    builder = network.builder
    x = builder.input("x", TOKENS)
    constants = [builder.constant(np.full((2, 8), number, np.float32)) for number in (1.0, 2.0)]
    computed = builder.add("neg", network._weight("w", (2, 8)))
    module = network.module(*(builder.add("linear", x, weight) for weight in (*constants, computed)))
    result = MergeProjections().run(module)
    operators = [node.operator for node in merged(module).entry.nodes]
    assert operators == ["weight", "neg", "constant", "linear", "split", "linear"]
    (miss,) = result.misses
    assert miss.reason == "its operand %neg is neither a weight nor a constant"


def test_names_of_merged_weights() -> None:
    assert merged_name(["a.to_q.weight", "a.to_k.weight"]) == "a.to_q+to_k.weight"
    assert merged_name(["a.0.emb.weight", "b.0.emb.weight"]) == "a+b.0.emb.weight"
    assert merged_name(["a", "a.b"]) == "a.+b"
    assert merged_name(["x.weight", "y.bias"]) == "x.weight+y.bias"
    assert merged_name([f"block.{index}.weight" for index in range(6)]) == "block.0+5more.weight"


def test_name_that_is_taken_gets_a_number() -> None:
    network = Network()
    x = network.builder.input("x", TOKENS)
    taken = network.builder.add("neg", network._weight("a+b.weight", (2, 8)))
    module = network.module(network.linear(x, 2, "a"), network.linear(x, 2, "b"), taken)
    assert set(merged(module).weights) == {"a+b.weight", "a+b.weight_2"}
