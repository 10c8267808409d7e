"""Group and layer normalisation against their references in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calling import Library, reference

PLAIN = {"epsilon": 1e-5, "activation": "none", "add": "none", "modulated": False, "keep_sum": False}


def check_group_norm(library: Library, inputs: list[np.ndarray], **attributes: object) -> None:
    got = library.run("fused_group_norm", inputs, **attributes)  # type: ignore[arg-type]
    wanted = reference("fused_group_norm", inputs, **attributes)  # type: ignore[arg-type]
    compare(got, wanted, inputs, 0 if attributes["add"] == "none" else 3)


def compare(got: list[np.ndarray], wanted: list[np.ndarray], inputs: list[np.ndarray], added: int) -> None:
    """Normalised numbers are of size 1 to 10, so that a result is off by a few roundings of what it is summed from.

    The sum is rounded to float32 before: relative to the deviation, that may be a large error of any implementation.
    """
    scales = [float(np.abs(array).max(initial=0.0)) for array in inputs[1:]]
    tolerance = 4e-6 * (1.0 + max(scales)) ** 2
    if added:
        total = inputs[0].astype(np.float64)
        deviation = float(np.std(total)) + 1e-3
        tolerance *= 1.0 + 1e-2 * float(np.abs(total).max(initial=0.0)) / deviation
    np.testing.assert_allclose(got[0], wanted[0], rtol=0, atol=tolerance)
    for own, want in zip(got[1:], wanted[1:], strict=True):
        np.testing.assert_array_equal(own, want.astype(np.float32))


@settings(max_examples=80)
@given(data=st.data())
def test_group_norm_in_every_form(library: Library, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    groups, of_group = data.draw(st.sampled_from([1, 2, 3, 8])), data.draw(st.integers(1, 5))
    batch, channels = data.draw(st.integers(1, 3)), groups * of_group
    x = (batch, channels, *data.draw(st.sampled_from([(), (1,), (5,), (3, 7), (8, 8), (2, 3, 4), (16, 17), (70, 71)])))
    add = data.draw(st.sampled_from(["none", "channel", "full"]))
    modulated = data.draw(st.booleans())
    by_channel = (batch, channels)
    shapes = [x, (channels,), (channels,)]
    shapes += {"none": [], "channel": [by_channel], "full": [x]}[add]
    shapes += [by_channel, by_channel] if modulated else []
    check_group_norm(
        library,
        [generator.standard_normal(shape, np.float32) for shape in shapes],
        groups=groups,
        epsilon=data.draw(st.sampled_from([1e-6, 1e-5, 0.1])),
        activation=data.draw(st.sampled_from(["none", "silu"])),
        add=add,
        modulated=modulated,
        keep_sum=add != "none" and data.draw(st.booleans()),
    )


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((1, 32, 64, 64), 1), ((1, 32, 64, 64), 2), ((1, 96, 20, 20), 3), ((2, 320, 8, 8), 32), ((1, 7, 33, 129), 7)],
)
def test_group_norm_shared_out_in_every_way(library: Library, shape: tuple[int, ...], groups: int) -> None:
    """Groups for the threads, or parts of groups where there are few."""
    generator = np.random.default_rng(0)
    channels = shape[1]
    inputs = [generator.standard_normal(each, np.float32) for each in (shape, (channels,), (channels,), shape)]
    check_group_norm(library, inputs, **{**PLAIN, "groups": groups, "add": "full", "keep_sum": True})
    check_group_norm(library, inputs[:3], **{**PLAIN, "groups": groups, "activation": "silu"})


@pytest.mark.parametrize("mean", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("deviation", [1e-3, 1.0, 1e12])
def test_group_norm_of_a_large_mean(library: Library, mean: float, deviation: float) -> None:
    """Statistics come from the distances to a centre: a mean of any size costs no accuracy."""
    generator = np.random.default_rng(1)
    x = (mean + deviation * generator.standard_normal((2, 6, 100, 100))).astype(np.float32)
    gamma, beta = generator.standard_normal((2, 6)).astype(np.float32)
    check_group_norm(library, [x, gamma, beta], **{**PLAIN, "groups": 2, "epsilon": 1e-12})


@pytest.mark.parametrize("value", [0.0, 0.1, -3e5])
def test_constants_become_the_shift(library: Library, value: float) -> None:
    """All of one value: the variance is 0, and the result the shift."""
    x = np.full((1, 4, 37, 41), value, np.float32)
    gamma, beta = np.ones(4, np.float32), np.arange(4, dtype=np.float32)
    (got,) = library.run("fused_group_norm", [x, gamma, beta], **{**PLAIN, "groups": 2})
    np.testing.assert_allclose(got, np.broadcast_to(beta.reshape(1, 4, 1, 1), x.shape), atol=1e-6)
    residual = np.zeros((5, 37), np.float32)
    shift = np.arange(37, dtype=np.float32)
    (got,) = library.run(
        "fused_layer_norm",
        [residual + np.float32(value), np.ones(37, np.float32), shift, residual],
        epsilon=1e-5,
        keep_sum=False,
    )
    np.testing.assert_allclose(got, np.broadcast_to(shift, (5, 37)), atol=1e-6)


def test_nan_stays_in_its_group(library: Library) -> None:
    x = np.random.default_rng(2).standard_normal((2, 4, 9, 9)).astype(np.float32)
    x[1, 2, 3, 4] = np.nan
    (got,) = library.run(
        "fused_group_norm", [x, np.ones(4, np.float32), np.zeros(4, np.float32)], **{**PLAIN, "groups": 2}
    )
    assert np.isnan(got[1, 2:]).all()
    assert np.isfinite(got[0]).all()
    assert np.isfinite(got[1, :2]).all()


@settings(max_examples=60)
@given(data=st.data())
def test_layer_norm(library: Library, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    length = data.draw(st.one_of(st.integers(1, 100), st.sampled_from([320, 640, 5000])))
    x = (*data.draw(st.sampled_from([(), (1,), (7,), (2, 33), (3, 2, 4)])), length)
    offset = np.float32(data.draw(st.sampled_from([0.0, 100.0])))
    inputs = [generator.standard_normal(shape, np.float32) for shape in (x, (length,), (length,), x)]
    inputs[0] += offset
    attributes = {"epsilon": data.draw(st.sampled_from([1e-6, 1e-5])), "keep_sum": data.draw(st.booleans())}
    got = library.run("fused_layer_norm", inputs, **attributes)
    wanted = reference("fused_layer_norm", inputs, **attributes)
    if length < 3 and offset:  # differences of two numbers: nothing but their rounding errors
        return
    compare(got, wanted, inputs, 3)
