"""geglu and bias_activation: what they mean, what they cost and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs.fused_operators import assert_one_meaning
from graphs.onnx_oracle import checked_evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer, lookup
from coopdraw.graphs.types import DType, TensorType

# onnxruntime computes erf and tanh in float32: a few ulp of 1, times operands of up to about 6 each.
GATED = 2e-5
ACTIVATED = 5e-6
ACTIVATIONS = ["none", "relu", "silu", "gelu", "gelu_tanh"]


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=60)
@given(
    leading=hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    half=st.integers(1, 5),
    biased=st.booleans(),
    approximate=st.sampled_from(["none", "tanh"]),
    gate=st.sampled_from(["first", "second"]),
)
def test_geglu(leading: tuple[int, ...], half: int, biased: bool, approximate: str, gate: str) -> None:
    shapes = [(*leading, 2 * half), (2 * half,)][: 1 + biased]
    inputs = [numbers(shape, seed) for seed, shape in enumerate(shapes)]
    assert_one_meaning("geglu", inputs, {"approximate": approximate, "gate": gate}, absolute=GATED)


@settings(max_examples=60)
@given(
    shape=hnp.array_shapes(max_dims=4, max_side=4),
    activation=st.sampled_from(ACTIVATIONS),
    data=st.data(),
)
def test_bias_activation(shape: tuple[int, ...], activation: str, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    inputs = [numbers(shape, 0), numbers(shape[axis : axis + 1], 1)]
    assert_one_meaning("bias_activation", inputs, {"axis": axis, "activation": activation}, absolute=ACTIVATED)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_far_below_zero_an_activation_is_exact(activation: str) -> None:
    """x * Phi(x) at -5, where 1 + erf cancels: -1.4332579e-6 (SciPy's ndtr)."""
    (y,) = checked_evaluate(
        "bias_activation", [np.float32([-4]), np.float32([-1])], {"axis": 0, "activation": activation}
    )
    exact = {"none": -5.0, "relu": 0.0, "silu": -0.033464255, "gelu": -1.4332579e-6, "gelu_tanh": -2.2917962e-7}
    np.testing.assert_allclose(y, np.float32([exact[activation]]), rtol=1e-6)  # float32 has 6e-8


def test_which_half_is_the_gate() -> None:
    x = np.float32([[3.0, 100.0]])
    for gate, wanted in (("first", 100.0 * 2.9959503), ("second", 3.0 * 100.0)):  # gelu(3), gelu(100)
        (y,) = checked_evaluate("geglu", [x], {"approximate": "none", "gate": gate})
        np.testing.assert_allclose(y, [[wanted]], rtol=1e-6)  # float32 has 6e-8


def test_flops() -> None:
    x, half, bias = (TensorType(DType.FLOAT32, shape) for shape in ((3, 8), (3, 4), (8,)))
    assert lookup("geglu").flops([x], [half], {"approximate": "none", "gate": "second"}) == (5 + 1) * 12
    assert lookup("geglu").flops([x, bias], [half], {"approximate": "tanh", "gate": "second"}) == (9 + 1) * 12 + 24
    assert lookup("bias_activation").flops([x, bias], [x], {"axis": 1, "activation": "none"}) == 24
    assert lookup("bias_activation").flops([x, bias], [x], {"axis": 1, "activation": "silu"}) == 4 * 24


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("geglu", [(2, 5)], {"approximate": "none", "gate": "first"}, "last extent must be even"),
        ("geglu", [()], {"approximate": "none", "gate": "first"}, "last extent must be even"),
        ("geglu", [(2, 4), (2,)], {"approximate": "none", "gate": "first"}, r"the bias .* must have shape \[4\]"),
        ("geglu", [(2, 4)], {"approximate": "erf", "gate": "first"}, "approximate is 'erf', but must be one of"),
        ("geglu", [(2, 4)], {"approximate": "none", "gate": "left"}, "gate is 'left', but must be one of first"),
        ("bias_activation", [(2, 4), (2,)], {"axis": 1, "activation": "silu"}, r"the bias .* must have shape \[4\]"),
        ("bias_activation", [(2, 4), (2,)], {"axis": 2, "activation": "silu"}, "axis is 2, but must be in 0..1"),
        ("bias_activation", [(2, 4), (2,)], {"axis": 0, "activation": "elu"}, "activation is 'elu', but must be one"),
    ],
)
def test_refuses(name: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer(name, [TensorType(DType.FLOAT32, shape) for shape in shapes], attributes)


def test_integers_are_refused() -> None:
    with pytest.raises(GraphError, match="must be floating point"):
        infer("geglu", [TensorType(DType.INT32, (2, 4))], {"approximate": "none", "gate": "first"})
