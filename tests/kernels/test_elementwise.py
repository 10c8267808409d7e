"""GEGLU, bias with activation, and weighted sums against their references in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels.calling import Library, reference

ACTIVATIONS = ("none", "silu", "gelu", "gelu_tanh", "relu")


def check_activation(got: np.ndarray, want: np.ndarray, x: np.ndarray, activation: str) -> None:
    """Relative to the result, with what float32 cannot avoid in the exponent.

    exp(y) of a rounded y is off by |y| roundings: y is x^2 / 2 for gelu, 2 sqrt(2 / pi) (x + 0.044715 x^3) for its tanh
    form. Where that underflows, the result is 0.
    """
    magnitude = np.minimum(np.abs(x.astype(np.float64)), 14.0)
    exponent = {"gelu": magnitude**2, "gelu_tanh": 2 * magnitude + 0.15 * magnitude**3}.get(activation, 0.0)
    allowed = (5e-7 + 1.2e-7 * exponent) * np.abs(want) + 1e-36
    # The reference's own 1 + erf(x) and 1 + tanh(x) cancel in float64.
    allowed += 4e-16 * magnitude
    assert (np.abs(got - want) <= allowed).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_over_their_range(library: Library, activation: str) -> None:
    """Also the accuracy of the exponential, which silu divides by."""
    x = np.concatenate([np.linspace(-90, 90, 200_003), np.linspace(-1, 1, 20_001), [0.0, 1e-30, -1e-30, 1e30, -1e30]])
    x = x.astype(np.float32)[None]
    bias = np.zeros(x.shape[1], np.float32)
    (got,) = library.run("bias_activation", [x, bias], axis=1, activation=activation)
    (want,) = reference("bias_activation", [x, bias], axis=1, activation=activation)
    check_activation(got, want, x, activation)


@settings(max_examples=60)
@given(data=st.data())
def test_bias_along_any_axis(library: Library, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = tuple(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    activation = data.draw(st.sampled_from(ACTIVATIONS))
    x, bias = generator.standard_normal(shape, np.float32), generator.standard_normal(shape[axis], np.float32)
    (got,) = library.run("bias_activation", [x, bias], axis=axis, activation=activation)
    total = (x + bias.reshape(-1, *[1] * (len(shape) - axis - 1))).astype(np.float32)
    zero = np.zeros_like(bias)
    (want,) = reference("bias_activation", [total, zero], axis=axis, activation=activation)
    check_activation(got, want, total, activation)


@settings(max_examples=60)
@given(data=st.data())
def test_geglu(library: Library, data: st.DataObject) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    width = data.draw(st.integers(1, 70))
    shape = (*data.draw(st.lists(st.integers(1, 9), max_size=3)), 2 * width)
    attributes = {
        "approximate": data.draw(st.sampled_from(["none", "tanh"])),
        "gate": data.draw(st.sampled_from(["first", "second"])),
    }
    x = (3 * generator.standard_normal(shape)).astype(np.float32)
    inputs = [x] + ([generator.standard_normal(2 * width, np.float32)] if data.draw(st.booleans()) else [])
    (got,) = library.run("geglu", inputs, **attributes)
    hidden = x + inputs[1] if len(inputs) == 2 else x
    (want,) = reference("geglu", [hidden], **attributes)
    halves = np.split(hidden, 2, axis=-1)
    value, gate = halves if attributes["gate"] == "second" else halves[::-1]
    # Divided by the value, it is the activation of the gate, with one rounding more.
    activation = "gelu" if attributes["approximate"] == "none" else "gelu_tanh"
    check_activation(got / value, want / value, gate, activation)


@settings(max_examples=40)
@given(
    count=st.integers(1, 9),
    shape=st.lists(st.integers(1, 40), max_size=4),
    seed=st.integers(0, 99),
)
def test_linear_combination(library: Library, count: int, shape: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal(shape).astype(np.float32) for _ in range(count)]
    weights = tuple(float(weight) for weight in 10 * generator.standard_normal(count))
    (got,) = library.run("linear_combination", inputs, weights=weights)
    (want,) = reference("linear_combination", inputs, weights=weights)
    # Summed in float64 and rounded once.
    np.testing.assert_allclose(got, want, rtol=6.1e-8, atol=1e-13)


def test_linear_combination_cancels_exactly(library: Library) -> None:
    x = np.random.default_rng(0).standard_normal((3, 1000)).astype(np.float32)
    (got,) = library.run("linear_combination", [x, x, x], weights=(1e6, 1.0, -1e6))
    np.testing.assert_allclose(got, x, rtol=1e-9)
