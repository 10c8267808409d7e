"""The Ascend kernel of the group norm family, simulated on all its cores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernels.ascend.nodes import assert_close, group_norm_inputs, group_norm_node, program
from kernels.calling import make_node, reference

from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.simulation import simulate_program
from coopdraw.kernels.group_norm.ascend import ASCEND
from coopdraw.kernels.group_norm.tiling import SHARED_GROUPS, WHOLE_GROUPS
from coopdraw.kernels.simulator.report import Report
from coopdraw.kernels.simulator.soc import SOCS

RELEASED = ((320, 128), (640, 64), (1280, 32))
"""Channels and side of the planes in the released UNet at 1024x1024."""


def moved_bytes(report: Report) -> int:
    return report.total("global_bytes_read") + report.total("global_bytes_written")


@pytest.mark.parametrize("soc", SOCS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("channels", "side"), RELEASED)
def test_released_shapes(soc: str, batch: int, channels: int, side: int) -> None:
    inputs = group_norm_inputs((batch, channels, side, side))
    inputs[1:] = [np.ones(channels, np.float16), np.zeros(channels, np.float16)]
    node = group_norm_node(inputs)
    simulation = simulate_program(program(ASCEND, DType.FLOAT16, soc), ASCEND, node, inputs)
    (output,) = simulation.outputs
    (expected,) = reference("fused_group_norm", inputs, **node.attributes)
    # |y| is below 8, where float16's numbers are 2^-8 apart: rounding alone is up to 1.95e-3.
    assert np.abs(output - expected).max() <= 2e-3

    launch = ASCEND.launch_of(node, SOCS[soc])
    least = sum(array.nbytes for array in (*inputs, output))
    assert launch.cores == len(simulation.report.cores) == SOCS[soc].vector_cores
    if launch.notes == ("x is read once",):
        assert moved_bytes(simulation.report) <= 1.1 * least
    else:  # never more than reading all of x twice
        assert moved_bytes(simulation.report) <= 1.5 * least


def test_work_of_the_cores_is_even() -> None:
    inputs = group_norm_inputs((1, 320, 64, 64))
    node = group_norm_node(inputs)
    report = simulate_program(program(ASCEND, DType.FLOAT16, "ascend910b"), ASCEND, node, inputs).report
    elements = [core.pipes["V"].elements for core in report.cores]
    assert max(elements) <= 1.02 * min(elements)  # coefficients are computed once a group that a core meets


@pytest.mark.parametrize(
    ("soc", "dtype"),
    [
        ("ascend910b", "float16"),
        ("ascend910b", "float32"),
        ("ascend310p", "float16"),
        pytest.param("ascend310p", "float32", marks=pytest.mark.slow),
    ],
)
@settings(max_examples=30)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 5),
    group_channels=st.integers(1, 12),
    plane=st.lists(st.integers(1, 20), min_size=0, max_size=2),
    add=st.sampled_from(("none", "channel", "full")),
    modulated=st.booleans(),
    activation=st.sampled_from(("none", "silu")),
    keep_sum=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_shape_that_is_not_refused(
    soc: str,
    dtype: str,
    batch: int,
    groups: int,
    group_channels: int,
    plane: list[int],
    add: str,
    modulated: bool,
    activation: str,
    keep_sum: bool,
    seed: int,
) -> None:
    if soc == "ascend310p":  # so that most examples are not refused
        group_channels, plane = group_channels * 16 // math.gcd(groups, 16), [16 * side for side in plane[:1]] or [16]
    shape = (batch, groups * group_channels, *plane)
    inputs = group_norm_inputs(shape, dtype, add=add, modulated=modulated, seed=seed)
    node = group_norm_node(
        inputs, groups, add=add, modulated=modulated, activation=activation, keep_sum=keep_sum and add != "none"
    )
    assume(ASCEND.refusal(node, SOCS[soc]) is None)
    simulation = simulate_program(program(ASCEND, DType(dtype), soc), ASCEND, node, inputs)
    expected = reference("fused_group_norm", inputs, **node.attributes)
    for output, wanted in zip(simulation.outputs, expected, strict=True):
        # A group of a few equal elements divides float32's rounding by sqrt(epsilon), 1/316.
        assert_close(output, wanted, arithmetic=5e-4)


@pytest.mark.parametrize(
    "shape", [(1, 96, 7, 9), (3, 33, 5), (2, 40, 1), (1, 1, 3, 5), (1, 6, 4111), (1, 3, 48, 96), (5, 64, 12, 12)]
)
@pytest.mark.parametrize("groups", ["one", "all"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_odd_shapes(shape: tuple[int, ...], groups: str, dtype: str) -> None:
    """Planes and channels that fill no blocks, one group, one channel a group, planes longer than a tile."""
    inputs = group_norm_inputs(shape, dtype, add="full", modulated=True)
    node = group_norm_node(inputs, 1 if groups == "one" else shape[1], add="full", modulated=True, keep_sum=True)
    simulation = simulate_program(program(ASCEND, DType(dtype), "ascend910b"), ASCEND, node, inputs)
    expected = reference("fused_group_norm", inputs, **node.attributes)
    for output, wanted in zip(simulation.outputs, expected, strict=True):
        assert_close(output, wanted, arithmetic=5e-4)


@pytest.mark.parametrize("add", ["none", "channel", "full"])
def test_more_than_stays_in_the_unified_buffer(add: str) -> None:
    inputs = group_norm_inputs((1, 64, 200, 208), "float32", add=add)
    node = group_norm_node(inputs, 4, add=add, keep_sum=add != "none")
    launch = ASCEND.launch_of(node, SOCS["ascend910b"])
    assert "twice" in launch.notes[0]
    simulation = simulate_program(program(ASCEND, DType.FLOAT32, "ascend910b"), ASCEND, node, inputs)
    expected = reference("fused_group_norm", inputs, **node.attributes)
    for output, wanted in zip(simulation.outputs, expected, strict=True):
        assert_close(output, wanted)


@pytest.mark.parametrize("layout", Layout)
def test_plain_group_norm(layout: Layout) -> None:
    inputs = group_norm_inputs((2, 64, 16, 16))
    node = make_node("group_norm", inputs, {"groups": 8, "epsilon": 1e-6})
    simulation = simulate_program(program(ASCEND, DType.FLOAT16, "ascend910b", layout), ASCEND, node, inputs)
    assert_close(simulation.outputs[0], reference("group_norm", inputs, **node.attributes)[0])


def test_large_means_do_not_cancel() -> None:
    """Deviations of 1 about a mean of 1000: squares in float32 would lose the variance."""
    inputs = group_norm_inputs((1, 32, 64, 64), "float32")
    inputs[0] += 1000
    node = group_norm_node(inputs, 4, activation="none")
    simulation = simulate_program(program(ASCEND, DType.FLOAT32, "ascend910b"), ASCEND, node, inputs)
    expected = reference("fused_group_norm", inputs, **node.attributes)
    assert_close(simulation.outputs[0], expected[0], arithmetic=3e-4)  # a mean near 1000 is off by up to 6e-5 a tile


def test_parts_with_far_means_are_merged() -> None:
    """Halves of a group at -50 and 50, which are different cores'."""
    inputs = group_norm_inputs((1, 32, 64, 64), "float32")
    inputs[0][:, ::2] -= 50
    inputs[0][:, 1::2] += 50
    node = group_norm_node(inputs, 2, activation="none")
    simulation = simulate_program(program(ASCEND, DType.FLOAT32, "ascend910b"), ASCEND, node, inputs)
    assert_close(simulation.outputs[0], reference("fused_group_norm", inputs, **node.attributes)[0])


def test_extreme_values_saturate_as_silu_does() -> None:
    inputs = group_norm_inputs((1, 32, 16, 16), "float32")
    inputs[1][:], inputs[2][:] = 500, 0
    node = group_norm_node(inputs, 32)
    simulation = simulate_program(program(ASCEND, DType.FLOAT32, "ascend910b"), ASCEND, node, inputs)
    expected = reference("fused_group_norm", inputs, **node.attributes)[0]
    assert np.isfinite(simulation.outputs[0]).all()
    assert_close(simulation.outputs[0], expected, arithmetic=1e-4)  # gamma is 500 times the scale that errors have


@pytest.mark.parametrize(
    ("soc", "batch", "key"),
    [
        ("ascend910b", 1, SHARED_GROUPS),
        ("ascend910b", 2, SHARED_GROUPS),
        ("ascend910b", 5, WHOLE_GROUPS),
        ("ascend910b1", 2, SHARED_GROUPS),
        ("ascend910b1", 3, WHOLE_GROUPS),
        ("ascend310p", 1, WHOLE_GROUPS),
    ],
)
def test_groups_are_shared_where_cores_would_idle(soc: str, batch: int, key: int) -> None:
    node = group_norm_node(group_norm_inputs((batch, 320, 64, 64)))
    assert ASCEND.launch_of(node, SOCS[soc]).key == key


@pytest.mark.parametrize(
    ("shape", "groups", "soc", "part"),
    [
        ((1, 32, 7, 7), 32, "ascend310p", "a channel of %x0, which is float16[1, 32, 7, 7], has 98"),
        ((1, 40, 4, 4), 8, "ascend310p", "a value for every channel of %x0"),
        ((1, 8192, 4, 4), 1, "ascend910b", "has 8192 channels, whose parameters"),
        ((1, 0, 4, 4), 1, "ascend910b", "which has no elements"),
    ],
)
def test_refusals(shape: tuple[int, ...], groups: int, soc: str, part: str) -> None:
    node = group_norm_node(group_norm_inputs(shape), groups)
    assert part in (ASCEND.refusal(node, SOCS[soc]) or "")


def test_other_types_are_refused() -> None:
    node = group_norm_node(group_norm_inputs((1, 32, 4, 4), "float64"))
    assert "takes float16 or float32, but %x0 is float64" in (ASCEND.refusal(node, SOCS["ascend910b"]) or "")
