"""Activations and softmax against onnxruntime, and erf against the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, checked_evaluate, onnx_node
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.ops.erf import erf

# onnxruntime approximates tanh, erf and the logistic function in float32, to a few ulp of 1.
APPROXIMATE = 5e-7

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=6)


def numbers(shape: tuple[int, ...], seed: int, scale: float = 3.0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


@pytest.mark.parametrize(("name", "onnx_name"), [("tanh", "Tanh"), ("erf", "Erf"), ("sigmoid", "Sigmoid")])
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_bounded_activations(name: str, onnx_name: str, shape: tuple[int, ...], seed: int) -> None:
    assert_agrees(name, [numbers(shape, seed)], {}, [onnx_node(onnx_name, "0")], absolute=APPROXIMATE)


@given(shape=SHAPES, seed=st.integers(0, 999))
def test_relu_and_silu(shape: tuple[int, ...], seed: int) -> None:
    x = numbers(shape, seed)
    assert_agrees("relu", [x], {}, [onnx_node("Relu", "0")])
    nodes = [onnx_node("Sigmoid", "0", ["s"]), onnx_node("Mul", ["0", "s"])]
    assert_agrees("silu", [x], {}, nodes, relative=1e-6, absolute=10 * APPROXIMATE)  # |x| <= 10 scales the logistic's


@given(shape=SHAPES, seed=st.integers(0, 999), approximate=st.sampled_from(["none", "tanh"]))
def test_gelu(shape: tuple[int, ...], seed: int, approximate: str) -> None:
    attributes = {"approximate": approximate}
    nodes = [onnx_node("Gelu", "0", approximate=approximate)]
    # |x| <= 10 scales onnxruntime's error of erf and tanh
    assert_agrees("gelu", [numbers(shape, seed)], attributes, nodes, relative=1e-6, absolute=10 * APPROXIMATE)


@given(shape=hnp.array_shapes(max_dims=4, max_side=5), seed=st.integers(0, 999), data=st.data())
def test_softmax(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    # exp to 2 ulp over a sum of up to 5 terms
    nodes = [onnx_node("Softmax", "0", axis=axis)]
    assert_agrees("softmax", [numbers(shape, seed, 30)], {"axis": axis}, nodes, relative=1e-5, absolute=1e-30)


def test_softmax_survives_large_logits() -> None:
    (result,) = checked_evaluate("softmax", [np.array([1e4, 1e4, -1e4], np.float32)], {"axis": 0})
    np.testing.assert_array_equal(result, np.array([0.5, 0.5, 0.0], np.float32))


def test_saturated_activations() -> None:
    x = np.array([-1e4, 1e4], np.float32)
    for name, expected in {"sigmoid": (0.0, 1.0), "silu": (0.0, 1e4), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}.items():
        np.testing.assert_array_equal(checked_evaluate(name, [x], {})[0], expected)
    np.testing.assert_array_equal(checked_evaluate("gelu", [x], {"approximate": "none"})[0], [0.0, 1e4])


def test_erf_is_accurate_everywhere() -> None:
    x = np.concatenate([np.linspace(-7, 7, 20001), np.logspace(-300, 1, 500), [0.0, 1.0, np.inf, -np.inf, 5e-324]])
    expected = np.array([math.erf(value) for value in x])
    # the C library's erf is itself within 1 ulp; measured worst case of the rational approximation: 3 ulp
    assert np.all(np.abs(erf(x) - expected) <= 4 * np.spacing(np.abs(expected)))
    assert np.signbit(erf(np.array(-0.0)))
    assert np.isnan(erf(np.array(np.nan)))
