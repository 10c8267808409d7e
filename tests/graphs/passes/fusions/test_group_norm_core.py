"""group-norm-core: the ways to write a GroupNorm out, and what isn't one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.fusions.group_norm_core import GroupNormCore
from coopdraw.graphs.passes.fusions.layer_norm_core import LayerNormCore
from coopdraw.graphs.types import DType, TensorType

# Means and square roots in another order: some ulp of float32 (6e-8), divided by spreads that epsilon keeps above 0.1.
TOLERANCE = 1e-5
EPSILON = 1e-2
IMAGE = (2, 6, 3, 2)

Make = Callable[..., Value]


class Writer:
    """A graph with one written-out norm; every part has its ways to be written."""

    def __init__(self, dtype: DType = DType.FLOAT32) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "norm"
        self.dtype = dtype

    def input(self, *shape: int) -> Value:
        return self.builder.input("x", TensorType(self.dtype, shape))

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def number(self, number: float, like: Value) -> Value:
        return self.builder.constant(np.asarray(number, like.type.dtype.numpy))

    def reshape(self, x: Value, *shape: int) -> Value:
        return self.add("reshape", x, shape=shape)

    def weight(self, name: str, *shape: int) -> Value:
        return self.builder.weight(name, TensorType(self.dtype, shape))

    def standardise(
        self,
        x: Value,
        axes: tuple[int, ...],
        mean: str = "reduce_mean",
        square: str = "square",
        divide: str = "sqrt, div",
    ) -> Value:
        centred = self.add("sub", x, MEANS[mean](self, x, axes))
        variance = MEANS[mean](self, SQUARES[square](self, centred), axes)
        return DIVISIONS[divide](self, centred, self.add("add", variance, self.number(EPSILON, x)))

    def module(self, *outputs: Value) -> Module:
        graph = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        types = {str(node.attributes["name"]): node.output.type for node in graph.nodes if node.operator == "weight"}
        return Module(graph, {}, random_weights(types))


def _kept_mean(writer: Writer, x: Value, axes: tuple[int, ...]) -> Value:
    return writer.add("reduce_mean", x, axes=axes, keepdims=True)


def _reshaped_mean(writer: Writer, x: Value, axes: tuple[int, ...]) -> Value:
    shape = [1 if axis in axes else extent for axis, extent in enumerate(x.type.shape)]
    return writer.reshape(writer.add("reduce_mean", x, axes=axes, keepdims=False), *shape)


def _divided_sum(writer: Writer, x: Value, axes: tuple[int, ...]) -> Value:
    count = np.prod([x.type.shape[axis] for axis in axes])
    return writer.add("div", writer.add("reduce_sum", x, axes=axes, keepdims=True), writer.number(count, x))


def _scaled_sum(writer: Writer, x: Value, axes: tuple[int, ...]) -> Value:
    count = np.prod([x.type.shape[axis] for axis in axes])
    return writer.add("mul", writer.number(1 / count, x), writer.add("reduce_sum", x, axes=axes, keepdims=True))


MEANS: dict[str, Make] = {
    "reduce_mean": _kept_mean,
    "reduce_mean, reshape": _reshaped_mean,
    "reduce_sum, div": _divided_sum,
    "reduce_sum, mul": _scaled_sum,
}
SQUARES: dict[str, Make] = {
    "square": lambda writer, x: writer.add("square", x),
    "x * x": lambda writer, x: writer.add("mul", x, x),
    "pow": lambda writer, x: writer.add("pow", x, writer.number(2, x)),
}
DIVISIONS: dict[str, Make] = {
    "sqrt, div": lambda writer, x, v: writer.add("div", x, writer.add("sqrt", v)),
    "pow, div": lambda writer, x, v: writer.add("div", x, writer.add("pow", v, writer.number(0.5, v))),
    "rsqrt, mul": lambda writer, x, v: writer.add("mul", x, writer.add("rsqrt", v)),
    "mul, rsqrt": lambda writer, x, v: writer.add("mul", writer.add("rsqrt", v), x),
    "pow, mul": lambda writer, x, v: writer.add("mul", x, writer.add("pow", v, writer.number(-0.5, v))),
    "reciprocal, mul": lambda writer, x, v: writer.add("mul", x, writer.add("reciprocal", writer.add("sqrt", v))),
    "1 / sqrt, mul": lambda writer, x, v: writer.add(
        "mul", x, writer.add("div", writer.number(1, v), writer.add("sqrt", v))
    ),
}
GROUPED: dict[str, tuple[int, ...]] = {
    "one axis": (2, 3, 12),
    "channels, pixels": (2, 3, 2, 6),
    "as it was": (2, 3, 2, 3, 2),
}


def _gamma(writer: Writer, y: Value) -> Value:
    return writer.add("mul", y, writer.reshape(writer.weight("gamma", 6), 1, 6, 1, 1))


def _beta(writer: Writer, y: Value) -> Value:
    return writer.add("add", writer.weight("beta", 6, 1, 1), y)


AFFINES: dict[str, Make] = {
    "neither": lambda writer, y: y,
    "gamma": _gamma,
    "beta": _beta,
    "both": lambda writer, y: _beta(writer, _gamma(writer, y)),
}


def fused(module: Module) -> Module:
    result = fuse(GroupNormCore(), module, tolerance=TOLERANCE)
    assert result.misses == ()
    return result.module


@settings(max_examples=100)
@given(
    grouped=st.sampled_from(sorted(GROUPED)),
    mean=st.sampled_from(sorted(MEANS)),
    square=st.sampled_from(sorted(SQUARES)),
    divide=st.sampled_from(sorted(DIVISIONS)),
    affine=st.sampled_from(sorted(AFFINES)),
)
def test_every_way_to_write_it(grouped: str, mean: str, square: str, divide: str, affine: str) -> None:
    writer = Writer()
    shape = GROUPED[grouped]
    x = writer.reshape(writer.input(*IMAGE), *shape)
    y = writer.standardise(x, tuple(range(2, len(shape))), mean, square, divide)
    result = fuse(
        GroupNormCore(), writer.module(AFFINES[affine](writer, writer.reshape(y, *IMAGE))), tolerance=TOLERANCE
    )
    assert result.rewrites == 1
    assert set(operators(result.module)) - {"reshape"} == {"group_norm"}
    assert only(result.module, "group_norm").attributes == {"groups": 3, "epsilon": np.float32(EPSILON)}


@pytest.mark.parametrize("affine", ["gamma", "beta", "both"])
def test_a_norm_of_every_channel_needs_no_reshape(affine: str) -> None:
    writer = Writer()
    y = AFFINES[affine](writer, writer.standardise(writer.input(*IMAGE), (2, 3)))
    assert only(fused(writer.module(y)), "group_norm").attributes["groups"] == 6


def test_without_affine_and_reshape_it_is_left_to_layer_norm() -> None:
    writer = Writer()
    module = writer.module(writer.standardise(writer.input(*IMAGE), (2, 3)))
    assert not GroupNormCore().run(module).modified
    assert LayerNormCore().run(module).modified


def test_gamma_of_every_sample_is_no_gamma() -> None:
    writer = Writer()
    y = writer.reshape(writer.standardise(writer.reshape(writer.input(*IMAGE), 2, 3, 12), (2,)), *IMAGE)
    module = fused(writer.module(writer.add("mul", y, writer.weight("scale", 2, 6, 1, 1))))
    assert operators(module) == {"group_norm": 1, "mul": 1}
    constants = [node.attributes["value"] for node in module.entry.nodes if node.operator == "constant"]
    np.testing.assert_array_equal(np.stack(constants), [np.ones(6), np.zeros(6)])


def test_a_norm_that_is_read_before_its_affine_keeps_the_affine_outside() -> None:
    writer = Writer()
    y = writer.reshape(writer.standardise(writer.reshape(writer.input(*IMAGE), 2, 3, 12), (2,)), *IMAGE)
    module = fused(writer.module(_gamma(writer, y), writer.add("neg", y)))
    assert operators(module) == {"group_norm": 1, "reshape": 1, "mul": 1, "neg": 1}


@pytest.mark.parametrize("cast_first", [True, False])
def test_float32_inside_half_precision(cast_first: bool) -> None:
    """As in mindone.diffusers:models/layers_compat.py, `_group_norm`: cast up, normalise, cast back, scale."""
    writer = Writer(DType.FLOAT16)
    x = writer.input(*IMAGE)
    if cast_first:
        x = writer.reshape(writer.add("cast", x, dtype="float32"), 2, 3, 12)
    else:
        x = writer.add("cast", writer.reshape(x, 2, 3, 12), dtype="float32")
    y = writer.add("cast", writer.reshape(writer.standardise(x, (2,)), *IMAGE), dtype="float16")
    # float16 is rounded before and after gamma and after beta, or once: three halves of an ulp (1e-3) of each result.
    result = fuse(GroupNormCore(), writer.module(_beta(writer, _gamma(writer, y))), tolerance=1.5e-3, onnx=False)
    assert set(operators(result.module)) - {"reshape"} == {"group_norm"}


def test_float32_of_a_half_stays_float32() -> None:
    writer = Writer(DType.FLOAT16)
    x = writer.add("cast", writer.reshape(writer.input(*IMAGE), 2, 3, 12), dtype="float32")
    module = fused(writer.module(writer.reshape(writer.standardise(x, (2,)), *IMAGE)))
    assert operators(module) == {"cast": 1, "group_norm": 1}
    assert module.entry.outputs[0].type.dtype is DType.FLOAT32


def test_half_precision_inside_float32_keeps_its_casts() -> None:
    writer = Writer()
    x = writer.reshape(writer.add("cast", writer.input(*IMAGE), dtype="float16"), 2, 3, 12)
    y = writer.add("cast", writer.reshape(writer.standardise(x, (2,)), *IMAGE), dtype="float32")
    # inside, everything was rounded to float16 (1e-3), now once
    result = fuse(GroupNormCore(), writer.module(y), tolerance=1e-2, onnx=False)
    assert operators(result.module) == {"cast": 2, "group_norm": 1}


def test_groups_across_samples_are_a_miss() -> None:
    writer = Writer()
    y = writer.standardise(writer.reshape(writer.input(*IMAGE), 4, 3, 6), (2,))
    result = fuse(GroupNormCore(), writer.module(_gamma(writer, writer.reshape(y, *IMAGE))), tolerance=TOLERANCE)
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%reshape_2 (reshape, Cell norm)"
    assert miss.reason == "the groups of [4, 3, 6] aren't whole channels of each sample of float32[2, 6, 3, 2]"


def test_groups_that_cut_channels_are_a_miss() -> None:
    writer = Writer()
    y = writer.standardise(writer.reshape(writer.input(*IMAGE), 2, 4, 9), (2,))
    result = fuse(GroupNormCore(), writer.module(writer.reshape(y, *IMAGE)), tolerance=TOLERANCE)
    assert [miss.reason for miss in result.misses] == [
        "the groups of [2, 4, 9] aren't whole channels of each sample of float32[2, 6, 3, 2]"
    ]


def _other_axes(writer: Writer) -> Value:
    return writer.standardise(writer.reshape(writer.input(*IMAGE), 2, 3, 2, 6), (2,))


def _another_mean(writer: Writer) -> Value:
    """The variance around another mean than the one that is taken off."""
    x = writer.reshape(writer.input(*IMAGE), 2, 3, 12)
    centred = writer.add("sub", x, _kept_mean(writer, x, (2,)))
    other = writer.add("sub", x, _kept_mean(writer, x, (1, 2)))
    variance = _kept_mean(writer, writer.add("square", other), (2,))
    return writer.add("div", centred, writer.add("sqrt", writer.add("add", variance, writer.number(EPSILON, x))))


def _no_mean(writer: Writer) -> Value:
    """An RMS norm."""
    x = writer.reshape(writer.input(*IMAGE), 2, 3, 12)
    square = writer.add("add", _kept_mean(writer, writer.add("square", x), (2,)), writer.number(EPSILON, x))
    return writer.add("mul", x, writer.add("rsqrt", square))


def _other_count(writer: Writer) -> Value:
    """Bessel's correction: divides by one less."""
    x = writer.reshape(writer.input(*IMAGE), 2, 3, 12)
    centred = writer.add("sub", x, _kept_mean(writer, x, (2,)))
    total = writer.add("reduce_sum", writer.add("square", centred), axes=(2,), keepdims=True)
    variance = writer.add("add", writer.add("div", total, writer.number(11, x)), writer.number(EPSILON, x))
    return writer.add("div", centred, writer.add("sqrt", variance))


def _negative_epsilon(writer: Writer) -> Value:
    x = writer.reshape(writer.input(*IMAGE), 2, 3, 12)
    centred = writer.add("sub", x, _kept_mean(writer, x, (2,)))
    variance = _kept_mean(writer, writer.add("square", centred), (2,))
    return writer.add("div", centred, writer.add("sqrt", writer.add("add", variance, writer.number(-1e-3, x))))


@pytest.mark.parametrize("write", [_other_axes, _another_mean, _no_mean, _other_count, _negative_epsilon])
def test_what_is_no_group_norm_is_left_alone(write: Make) -> None:
    writer = Writer()
    result = fuse(GroupNormCore(), writer.module(writer.reshape(write(writer), *IMAGE)), tolerance=TOLERANCE)
    assert not result.modified
    assert result.misses == ()
