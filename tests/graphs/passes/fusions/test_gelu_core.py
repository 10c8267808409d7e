"""gelu-core: the ways to write a GELU out, and what isn't one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.fusions.gelu_core import GeluCore
from coopdraw.graphs.types import DType, TensorType

# Written out, 1 + erf and 1 + tanh cancel in float32: an ulp of 1 (1.2e-7) times x, of the order of 4.
TOLERANCE = 1e-6
SLOPE = math.sqrt(2 / math.pi)
TYPE = TensorType(DType.FLOAT32, (3, 5))


class Writer:
    """A graph of a function of x."""

    def __init__(self, type: TensorType = TYPE) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "gelu"
        self.type = type

    def input(self) -> Value:
        return self.builder.input("x", self.type)

    def add(self, operator: str, *inputs: Value | float) -> Value:
        """An operator; a number among its operands becomes a constant."""
        return self.builder.add(operator, *(self._value(value) for value in inputs))

    def _value(self, value: Value | float) -> Value:
        if isinstance(value, Value):
            return value
        return self.builder.constant(np.asarray(value, self.type.dtype.numpy))

    def module(self, *outputs: Value) -> Module:
        return Module(self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))]))


Make = Callable[[Writer, Value], Value]
OverX = Callable[[Writer, Value, Value], Value]

ERF_ARGUMENTS: dict[str, Make] = {
    "x / sqrt 2": lambda w, x: w.add("div", x, math.sqrt(2)),
    "x * sqrt 1/2": lambda w, x: w.add("mul", math.sqrt(0.5), x),
}
CUBES: dict[str, Make] = {
    "pow": lambda w, x: w.add("pow", x, 3.0),
    "x * x * x": lambda w, x: w.add("mul", w.add("mul", x, x), x),
    "square": lambda w, x: w.add("mul", x, w.add("square", x)),
}
TANH_ARGUMENTS: dict[str, Callable[[Writer, Value, Value], Value]] = {
    "slope outside": lambda w, x, cube: w.add("mul", SLOPE, w.add("add", x, w.add("mul", 0.044715, cube))),
    "slope inside": lambda w, x, cube: w.add("add", w.add("mul", x, SLOPE), w.add("mul", cube, 0.044715 * SLOPE)),
    "x outside": lambda w, x, cube: w.add(
        "mul", w.add("mul", x, SLOPE), w.add("add", 1.0, w.add("mul", w.add("mul", x, x), 0.044715))
    ),
}
PRODUCTS: dict[str, OverX] = {
    "x * bell * 0.5": lambda w, x, bell: w.add("mul", w.add("mul", x, bell), 0.5),
    "0.5 * x * bell": lambda w, x, bell: w.add("mul", w.add("mul", 0.5, x), bell),
    "x * (0.5 * bell)": lambda w, x, bell: w.add("mul", x, w.add("mul", 0.5, bell)),
    "bell * x / 2": lambda w, x, bell: w.add("div", w.add("mul", bell, x), 2.0),
    "x * bell * 2 * 0.25": lambda w, x, bell: w.add("mul", w.add("mul", w.add("mul", x, bell), 2.0), 0.25),
}


def bell_of(writer: Writer, curve: Value, one_first: bool) -> Value:
    return writer.add("add", 1.0, curve) if one_first else writer.add("add", curve, 1.0)


@settings(max_examples=60)
@given(
    argument=st.sampled_from(sorted(ERF_ARGUMENTS)),
    product=st.sampled_from(sorted(PRODUCTS)),
    one_first=st.booleans(),
)
def test_erf(argument: str, product: str, one_first: bool) -> None:
    writer = Writer()
    x = writer.input()
    bell = bell_of(writer, writer.add("erf", ERF_ARGUMENTS[argument](writer, x)), one_first)
    result = fuse(GeluCore(), writer.module(PRODUCTS[product](writer, x, bell)), tolerance=TOLERANCE)
    assert result.rewrites == 1
    assert result.misses == ()
    assert operators(result.module) == {"gelu": 1}
    assert only(result.module, "gelu").attributes["approximate"] == "none"


@settings(max_examples=60)
@given(
    argument=st.sampled_from(sorted(TANH_ARGUMENTS)),
    cube=st.sampled_from(sorted(CUBES)),
    product=st.sampled_from(sorted(PRODUCTS)),
    one_first=st.booleans(),
)
def test_tanh(argument: str, cube: str, product: str, one_first: bool) -> None:
    writer = Writer()
    x = writer.input()
    curve = writer.add("tanh", TANH_ARGUMENTS[argument](writer, x, CUBES[cube](writer, x)))
    module = writer.module(PRODUCTS[product](writer, x, bell_of(writer, curve, one_first)))
    result = fuse(GeluCore(), module, tolerance=TOLERANCE)
    assert result.rewrites == 1
    assert operators(result.module) == {"gelu": 1}
    assert only(result.module, "gelu").attributes["approximate"] == "tanh"


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
def test_constants_rounded_to_half_precision_are_those_of_gelu(dtype: DType) -> None:
    writer = Writer(TensorType(dtype, (4, 5)))
    x = writer.input()
    bell = bell_of(writer, writer.add("erf", ERF_ARGUMENTS["x / sqrt 2"](writer, x)), False)
    module = writer.module(PRODUCTS["0.5 * x * bell"](writer, x, bell))
    # each written-out step was rounded: some halves of an ulp (4e-3 in bfloat16) of 1 and x, now there is one
    result = fuse(GeluCore(), module, tolerance=3e-2, onnx=False)
    assert operators(result.module) == {"gelu": 1}


def test_a_multiple_of_something_can_be_x() -> None:
    """x = 3 * z, which only GELU reads."""
    writer = Writer()
    x = writer.add("mul", writer.input(), 3.0)
    bell = bell_of(writer, writer.add("erf", writer.add("div", x, math.sqrt(2))), False)
    result = fuse(GeluCore(), writer.module(PRODUCTS["x * bell * 0.5"](writer, x, bell)), tolerance=TOLERANCE)
    assert operators(result.module) == {"mul": 1, "gelu": 1}


def test_half_of_x_that_is_read_elsewhere_too() -> None:
    writer = Writer()
    x = writer.input()
    half = writer.add("mul", x, 0.5)
    bell = bell_of(writer, writer.add("erf", writer.add("div", x, math.sqrt(2))), False)
    module = writer.module(writer.add("mul", half, bell), writer.add("neg", half))
    result = fuse(GeluCore(), module, tolerance=TOLERANCE)
    assert operators(result.module) == {"mul": 1, "neg": 1, "gelu": 1}


def test_a_product_with_more_factors_keeps_them() -> None:
    writer = Writer()
    x = writer.input()
    bell = bell_of(writer, writer.add("erf", writer.add("div", x, math.sqrt(2))), False)
    y = writer.add("mul", PRODUCTS["x * bell * 0.5"](writer, x, bell), writer.add("sigmoid", x))
    result = fuse(GeluCore(), writer.module(y), tolerance=TOLERANCE)
    assert operators(result.module) == {"gelu": 1, "mul": 1, "sigmoid": 1}


@pytest.mark.parametrize("divisor", [1.414, 1.0, -math.sqrt(2)])
def test_another_width_is_a_miss(divisor: float) -> None:
    writer = Writer()
    x = writer.input()
    bell = bell_of(writer, writer.add("erf", writer.add("div", x, divisor)), False)
    result = fuse(GeluCore(), writer.module(PRODUCTS["x * bell * 0.5"](writer, x, bell)), tolerance=TOLERANCE)
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%mul_2 (mul, Cell gelu)"
    found = [0.0, 1 / float(np.float32(divisor))]
    assert miss.reason == f"its polynomial has the coefficients {found}; those of GELU are [0.0, {math.sqrt(0.5)}]"


def test_another_cubic_is_a_miss() -> None:
    writer = Writer()
    x = writer.input()
    argument = writer.add("mul", SLOPE, writer.add("add", x, writer.add("mul", 0.05, CUBES["pow"](writer, x))))
    bell = bell_of(writer, writer.add("tanh", argument), False)
    result = fuse(GeluCore(), writer.module(PRODUCTS["x * bell * 0.5"](writer, x, bell)), tolerance=TOLERANCE)
    assert not result.modified
    assert len(result.misses) == 1


def _silu_by_tanh(w: Writer, x: Value) -> Value:
    return w.add("mul", w.add("mul", x, w.add("add", w.add("tanh", w.add("mul", x, 0.5)), 1.0)), 0.5)


def _whole(w: Writer, x: Value) -> Value:
    return w.add("mul", x, w.add("add", w.add("erf", w.add("div", x, math.sqrt(2))), 1.0))


def _of_another(w: Writer, x: Value) -> Value:
    bell = w.add("add", w.add("erf", w.add("div", w.add("sigmoid", x), math.sqrt(2))), 1.0)
    return w.add("mul", w.add("mul", x, bell), 0.5)


def _divided(w: Writer, x: Value) -> Value:
    bell = w.add("add", w.add("erf", w.add("div", x, math.sqrt(2))), 1.0)
    return w.add("div", w.add("mul", x, 0.5), bell)


@pytest.mark.parametrize("write", [_silu_by_tanh, _whole, _of_another, _divided])
def test_what_is_no_gelu_is_left_alone(write: Make) -> None:
    writer = Writer()
    result = fuse(GeluCore(), writer.module(write(writer, writer.input())), tolerance=TOLERANCE)
    assert not result.modified
    assert result.misses == ()
