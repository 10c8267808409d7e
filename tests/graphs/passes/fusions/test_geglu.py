"""geglu-fusion: halves, gates and biases, and what a GELU may gate besides."""

from __future__ import annotations

import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.fusions.geglu import GegluFusion
from coopdraw.graphs.types import DType, TensorType

# A few ulp (6e-8) of products of 5 or so terms and of erf and tanh.
TOLERANCE = 1e-5


class Writer:
    """A graph around one gate over (2, 3, 8)."""

    def __init__(self, *shape: int) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "ff"
        self.shape = shape or (2, 3, 8)
        self.weights: dict[str, TensorType] = {}

    def input(self, *shape: int) -> Value:
        return self.builder.input("x", TensorType(DType.FLOAT32, shape or self.shape))

    def weight(self, name: str, *shape: int) -> Value:
        self.weights[name] = TensorType(DType.FLOAT32, shape)
        return self.builder.weight(name, self.weights[name])

    def split(self, x: Value) -> tuple[Value, ...]:
        rank, half = len(x.type.shape), x.type.shape[-1] // 2
        return self.builder.add_many("split", x, axis=rank - 1, sizes=(half, half))

    def slice(self, x: Value, axis: int, begin: int, end: int, step: int = 1) -> Value:
        shape = x.type.shape
        starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
        starts[axis], ends[axis], steps[axis] = begin, end, step
        return self.builder.add("slice", x, begin=tuple(starts), end=tuple(ends), stride=tuple(steps))

    def gate(self, value: Value, gate: Value, approximate: str = "none", gate_first: bool = False) -> Value:
        gelu = self.builder.add("gelu", gate, approximate=approximate)
        return self.builder.add("mul", *((gelu, value) if gate_first else (value, gelu)))

    def fuse(self, *outputs: Value, absorb_bias: bool = False) -> PassResult:
        graph = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        module = Module(graph, {}, random_weights(self.weights))
        return fuse(GegluFusion(absorb_bias), module, tolerance=TOLERANCE)


@settings(max_examples=60)
@given(
    leading=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    half=st.integers(1, 4),
    sliced=st.booleans(),
    first=st.booleans(),
    gate_first=st.booleans(),
    approximate=st.sampled_from(["none", "tanh"]),
)
def test_halves(
    leading: tuple[int, ...], half: int, sliced: bool, first: bool, gate_first: bool, approximate: str
) -> None:
    writer = Writer(*leading, 2 * half)
    x = writer.input()
    axis = len(leading)
    halves = (writer.slice(x, axis, 0, half), writer.slice(x, axis, half, 2 * half)) if sliced else writer.split(x)
    value, gate = halves[::-1] if first else halves
    result = writer.fuse(writer.gate(value, gate, approximate, gate_first))
    assert operators(result.module) == {"geglu": 1}
    node = only(result.module, "geglu")
    assert node.attributes == {"approximate": approximate, "gate": "first" if first else "second"}
    assert node.source == "ff"


@pytest.mark.parametrize("absorb_bias", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_a_linear_keeps_its_bias_unless_it_is_to_be_absorbed(absorb_bias: bool, biased: bool) -> None:
    writer = Writer(2, 3)
    operands = [writer.weight("weight", 8, 3), *([writer.weight("bias", 8)] if biased else [])]
    writer.builder.source = "ff.proj"
    hidden = writer.builder.add("linear", writer.input(), *operands)
    result = writer.fuse(writer.gate(*writer.split(hidden)), absorb_bias=absorb_bias)
    moved = absorb_bias and biased
    linear, geglu = only(result.module, "linear"), only(result.module, "geglu")
    assert len(linear.inputs) == 2 + (biased and not moved)
    assert len(geglu.inputs) == 1 + moved
    assert linear.source == "ff.proj"


@pytest.mark.parametrize("bias_first", [False, True])
def test_an_added_bias_is_absorbed(bias_first: bool) -> None:
    writer = Writer()
    operands = [writer.input(), writer.weight("bias", 8)]
    hidden = writer.builder.add("add", *(operands[::-1] if bias_first else operands))
    result = writer.fuse(writer.gate(*writer.split(hidden)), absorb_bias=True)
    assert operators(result.module) == {"geglu": 1}


def test_a_sum_that_is_no_bias_stays_outside() -> None:
    writer = Writer()
    hidden = writer.builder.add("add", writer.input(), writer.weight("position", 3, 8))
    result = writer.fuse(writer.gate(*writer.split(hidden)), absorb_bias=True)
    assert operators(result.module) == {"add": 1, "geglu": 1}


@pytest.mark.parametrize("reader", ["hidden", "value", "gate"])
def test_a_bias_that_something_else_needs_stays(reader: str) -> None:
    writer = Writer(2, 3)
    hidden = writer.builder.add("linear", writer.input(), writer.weight("weight", 8, 3), writer.weight("bias", 8))
    value, gate = writer.split(hidden)
    other = writer.builder.add("neg", {"hidden": hidden, "value": value, "gate": gate}[reader])
    result = writer.fuse(writer.gate(value, gate), other, absorb_bias=True)
    assert len(only(result.module, "linear").inputs) == 3
    assert len(only(result.module, "geglu").inputs) == 1


def reason(result: PassResult) -> str:
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%gelu (gelu, Cell ff)"
    return miss.reason


def test_two_tensors_are_a_miss() -> None:
    writer = Writer(2, 3)
    x = writer.input()
    value, gate = (writer.builder.add("linear", x, writer.weight(name, 4, 3)) for name in ("value", "gate"))
    assert reason(writer.fuse(writer.gate(value, gate))) == "value and gate aren't cut out of one tensor"


def test_a_tensor_that_gates_itself_is_left_alone() -> None:
    writer = Writer()
    x = writer.input()
    assert reason(writer.fuse(writer.gate(x, x))) == "value and gate aren't cut out of one tensor"


def test_halves_of_another_axis_are_a_miss() -> None:
    writer = Writer(2, 6, 4)
    value, gate = writer.builder.add_many("split", writer.input(), axis=1, sizes=(3, 3))
    wanted = "value and gate are cut along axes 1 and 1; geglu halves the last one, 2"
    assert reason(writer.fuse(writer.gate(value, gate))) == wanted


def test_thirds_are_a_miss() -> None:
    writer = Writer(2, 9)
    value, gate, _ = writer.builder.add_many("split", writer.input(), axis=1, sizes=(3, 3, 3))
    assert reason(writer.fuse(writer.gate(value, gate))) == "value and gate aren't the two halves of float32[2, 9]"


def test_the_same_half_twice_is_a_miss() -> None:
    writer = Writer(2, 8)
    x = writer.input()
    value, gate = writer.slice(x, 1, 4, 8), writer.slice(x, 1, 4, 8)
    assert reason(writer.fuse(writer.gate(value, gate))) == "value and gate aren't the two halves of float32[2, 8]"


def test_every_other_element_is_no_half() -> None:
    writer = Writer(2, 8)
    x = writer.input()
    value, gate = writer.slice(x, 1, 0, 7, 2), writer.slice(x, 1, 1, 8, 2)
    assert reason(writer.fuse(writer.gate(value, gate))) == "value and gate aren't cut out of one tensor"


def test_another_reader_of_the_gelu_is_a_miss() -> None:
    writer = Writer()
    value, gate = writer.split(writer.input())
    gelu = writer.builder.add("gelu", gate, approximate="none")
    product = writer.builder.add("mul", value, gelu)
    writer.builder.source = "probe"
    result = writer.fuse(product, writer.builder.add("neg", gelu))
    assert reason(result) == "the GELU has another user, %neg (neg, Cell probe)"


@pytest.mark.parametrize("shape", [(), (4,), (3, 1)])
def test_a_gelu_that_is_only_scaled_is_no_miss(shape: tuple[int, ...]) -> None:
    writer = Writer(2, 3, 4)
    y = writer.gate(writer.weight("scale", *shape), writer.input())
    result = writer.fuse(y)
    assert not result.modified
    assert result.misses == ()
