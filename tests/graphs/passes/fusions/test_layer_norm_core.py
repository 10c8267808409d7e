"""layer-norm-core: the ways to write a LayerNorm out, and what isn't one."""

from __future__ import annotations

import numpy as np
import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators
from graphs.passes.fusions.test_group_norm_core import DIVISIONS, EPSILON, MEANS, SQUARES, TOLERANCE, Writer
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.passes.fusions.layer_norm_core import LayerNormCore


@settings(max_examples=80)
@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=4),
    count=st.integers(1, 4),
    mean=st.sampled_from(sorted(MEANS)),
    square=st.sampled_from(sorted(SQUARES)),
    divide=st.sampled_from(sorted(DIVISIONS)),
    gamma=st.booleans(),
    beta=st.booleans(),
    leading=st.booleans(),
)
def test_every_way_to_write_it(
    shape: tuple[int, ...],
    count: int,
    mean: str,
    square: str,
    divide: str,
    gamma: bool,
    beta: bool,
    leading: bool,
) -> None:
    count = min(count, len(shape))
    writer = Writer()
    y = writer.standardise(writer.input(*shape), tuple(range(len(shape) - count, len(shape))), mean, square, divide)
    vector = (*[1] * (len(shape) - count) * leading, *shape[len(shape) - count :])
    if gamma:
        y = writer.add("mul", writer.weight("gamma", *vector), y)
    if beta:
        y = writer.add("add", y, writer.weight("beta", *vector))
    result = fuse(LayerNormCore(), writer.module(y), tolerance=TOLERANCE)
    assert result.rewrites == 1
    assert result.misses == ()
    assert set(operators(result.module)) - {"reshape"} == {"layer_norm"}
    norm = only(result.module, "layer_norm")
    assert norm.attributes == {"epsilon": np.float32(EPSILON)}
    assert norm.inputs[1].type.shape == shape[len(shape) - count :]


def test_other_axes_are_a_miss() -> None:
    writer = Writer()
    result = fuse(LayerNormCore(), writer.module(writer.standardise(writer.input(2, 3, 4), (1,))), tolerance=TOLERANCE)
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%div (div, Cell norm)"
    assert miss.reason == "it normalises axes [1] of float32[2, 3, 4]; layer_norm takes the last ones"


def test_axes_with_a_gap_are_a_miss() -> None:
    writer = Writer()
    y = writer.standardise(writer.input(2, 3, 4), (0, 2))
    result = fuse(LayerNormCore(), writer.module(writer.add("mul", y, writer.weight("gamma", 4))), tolerance=TOLERANCE)
    assert not result.modified
    assert [miss.reason for miss in result.misses] == [
        "it normalises axes [0, 2] of float32[2, 3, 4]; layer_norm takes the last ones"
    ]


@pytest.mark.parametrize("shape", [(3, 1), (), (2, 1, 4), (1,)])
def test_a_factor_with_other_extents_stays_outside(shape: tuple[int, ...]) -> None:
    writer = Writer()
    y = writer.standardise(writer.input(2, 3, 4), (2,))
    result = fuse(
        LayerNormCore(), writer.module(writer.add("mul", y, writer.weight("factor", *shape))), tolerance=TOLERANCE
    )
    assert operators(result.module) == {"layer_norm": 1, "mul": 1}


def test_an_rms_norm_is_left_alone() -> None:
    writer = Writer()
    x = writer.input(2, 4)
    square = writer.add("add", MEANS["reduce_mean"](writer, writer.add("square", x), (1,)), writer.number(EPSILON, x))
    result = fuse(
        LayerNormCore(), writer.module(writer.add("mul", x, writer.add("rsqrt", square))), tolerance=TOLERANCE
    )
    assert not result.modified
    assert result.misses == ()
