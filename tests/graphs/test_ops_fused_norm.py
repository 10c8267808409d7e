"""fused_group_norm and fused_layer_norm: what they mean, what they cost and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs.fused_operators import assert_one_meaning, single
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer, lookup
from coopdraw.graphs.types import DType, TensorType

# Means in another order move centred values by ulps of the mean (4 or so), seen after division by a spread around 1,
# and modulation multiplies them by up to 6; epsilon isn't smaller than 1e-3 since a single element has no spread.
NORMALISED = 3e-4
EPSILON = st.sampled_from([1e-3, 1e-2])
PLAIN: dict[str, Any] = {
    "groups": 2,
    "epsilon": 1e-3,
    "activation": "none",
    "add": "none",
    "modulated": False,
    "keep_sum": False,
}


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) + 1).astype(np.float32)


@settings(max_examples=80)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    spatial=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4),
    add=st.sampled_from(["none", "channel", "full"]),
    modulated=st.booleans(),
    activation=st.sampled_from(["none", "silu"]),
    keep_sum=st.booleans(),
    epsilon=EPSILON,
)
def test_fused_group_norm(
    batch: int,
    groups: int,
    per_group: int,
    spatial: tuple[int, ...],
    add: str,
    modulated: bool,
    activation: str,
    keep_sum: bool,
    epsilon: float,
) -> None:
    rows = (batch, groups * per_group)
    shapes = [(*rows, *spatial), rows[1:], rows[1:]]
    shapes += {"none": [], "channel": [rows], "full": [shapes[0]]}[add] + [rows, rows] * modulated
    attributes = {"groups": groups, "epsilon": epsilon, "activation": activation, "add": add, "modulated": modulated}
    inputs = [numbers(shape, seed) for seed, shape in enumerate(shapes)]
    attributes["keep_sum"] = keep_sum and add != "none"
    assert_one_meaning("fused_group_norm", inputs, attributes, absolute=NORMALISED)


def test_a_norm_of_a_plain_matrix_has_no_axes_after_the_channels() -> None:
    inputs = [numbers(shape, 0) for shape in ((3, 4), (4,), (4,), (3, 4), (3, 4), (3, 4))]
    attributes = PLAIN | {"add": "channel", "modulated": True, "activation": "silu"}
    assert_one_meaning("fused_group_norm", inputs, attributes, absolute=NORMALISED, onnx=False)  # ORT wants 3 axes


@settings(max_examples=40)
@given(shape=hnp.array_shapes(max_dims=4, max_side=5), keep_sum=st.booleans(), epsilon=EPSILON)
def test_fused_layer_norm(shape: tuple[int, ...], keep_sum: bool, epsilon: float) -> None:
    inputs = [numbers(each, seed) for seed, each in enumerate((shape, shape[-1:], shape[-1:], shape))]
    attributes = {"epsilon": epsilon, "keep_sum": keep_sum}
    assert_one_meaning("fused_layer_norm", inputs, attributes, absolute=NORMALISED)


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
def test_half_precision_sums_before_it_rounds(dtype: DType) -> None:
    """2048 + 1 isn't a float16, nor 256 + 1 a bfloat16; the norm sees the exact sums, whose spread is theirs."""
    large = 2048 if dtype is DType.FLOAT16 else 256
    x = np.full((1, 1, 4), large).astype(dtype.numpy)
    added = np.array([[[1, -1, 1, -1]]]).astype(dtype.numpy)
    one, zero = np.ones(1, dtype.numpy), np.zeros(1, dtype.numpy)
    attributes = PLAIN | {"groups": 1, "add": "full"}
    module = single("fused_group_norm", [TensorType.of(array) for array in (x, one, zero, added)], attributes)
    (y,) = lookup("fused_group_norm").reference([x, one, zero, added], module.entry.nodes[0].attributes)
    np.testing.assert_allclose(y.astype(np.float32), added.astype(np.float32), atol=1e-2)  # epsilon of 1e-3
    attributes = {"epsilon": 1e-3, "keep_sum": False}
    (y,) = lookup("fused_layer_norm").reference(
        [x, np.ones(4, dtype.numpy), np.zeros(4, dtype.numpy), added], attributes
    )
    np.testing.assert_allclose(y.astype(np.float32), added.astype(np.float32), atol=1e-2)


def test_silu_of_a_large_negative_number_is_zero() -> None:
    inputs = [numbers((1, 2, 3), 0), np.zeros(2, np.float32), np.full(2, -1e4, np.float32)]
    with np.errstate(over="ignore"):
        (y,) = lookup("fused_group_norm").reference(inputs, PLAIN | {"activation": "silu"})
    np.testing.assert_array_equal(y, np.zeros((1, 2, 3), np.float32))


def test_flops() -> None:
    """As many as the plain operators have, but for broadcasts: 8 for the norm, 1 for the sum, 2 and 3 after it."""
    x, rows, vector = (TensorType(DType.FLOAT32, shape) for shape in ((2, 4, 5, 5), (2, 4), (4,)))
    count = lookup("fused_group_norm").flops
    assert count([x, vector, vector], [x], PLAIN) == 8 * 200
    silu = PLAIN | {"activation": "silu", "add": "channel", "modulated": True, "keep_sum": True}
    assert count([x, vector, vector, rows, rows, rows], [x, x], silu) == (8 + 1 + 2 + 3) * 200 + 8
    vector = TensorType(DType.FLOAT32, (5,))
    attributes = {"epsilon": 1e-5, "keep_sum": True}
    assert lookup("fused_layer_norm").flops([x, vector, vector, x], [x, x], attributes) == 9 * 200


IMAGE, ROWS, VECTOR = (2, 4, 5), (2, 4), (4,)


@pytest.mark.parametrize(
    ("shapes", "changes", "message"),
    [
        ([IMAGE, VECTOR, VECTOR], {"groups": 3}, "group_norm: x is .* don't divide into 3 groups"),
        ([IMAGE, VECTOR, (5,)], {}, r"group_norm: beta .* shape \[4\]"),
        ([IMAGE, VECTOR, VECTOR], {"activation": "relu"}, "activation is 'relu', but must be one of none, silu"),
        ([IMAGE, VECTOR, VECTOR], {"add": "row"}, "add is 'row', but must be one of none, channel, full"),
        ([IMAGE, VECTOR, VECTOR], {"add": "full"}, "it has 3 inputs, but .* must be x, gamma, beta, added"),
        ([IMAGE, VECTOR, VECTOR, ROWS], {}, "it has 4 inputs, but .* must be x, gamma, beta"),
        ([IMAGE, VECTOR, VECTOR, ROWS], {"modulated": True}, "must be x, gamma, beta, scale, shift"),
        ([IMAGE, VECTOR, VECTOR], {"keep_sum": True}, "keep_sum is true, but there is no sum"),
        ([IMAGE, VECTOR, VECTOR, ROWS], {"add": "full"}, r"added .* must have shape \[2, 4, 5\]"),
        ([IMAGE, VECTOR, VECTOR, (1, 4)], {"add": "channel"}, r"added .* must have shape \[2, 4\]"),
        ([IMAGE, VECTOR, VECTOR, ROWS, VECTOR], {"modulated": True}, r"shift .* must have shape \[2, 4\]"),
    ],
)
def test_fused_group_norm_refuses(shapes: list[tuple[int, ...]], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer("fused_group_norm", [TensorType(DType.FLOAT32, shape) for shape in shapes], PLAIN | changes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([IMAGE, (4, 5), (4, 5), IMAGE], "gamma .* must have 1 dimensions"),
        ([IMAGE, (4,), (4,), IMAGE], r"layer_norm: gamma .* shape \[5\]"),
        ([IMAGE, (5,), (5,), (4, 5)], r"added .* must have shape \[2, 4, 5\]"),
    ],
)
def test_fused_layer_norm_refuses(shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer(
            "fused_layer_norm",
            [TensorType(DType.FLOAT32, shape) for shape in shapes],
            {"epsilon": 1e-5, "keep_sum": True},
        )


def test_operands_of_two_element_types_are_refused() -> None:
    image, vector = TensorType(DType.FLOAT32, IMAGE), TensorType(DType.FLOAT32, VECTOR)
    added = TensorType(DType.FLOAT16, IMAGE)
    with pytest.raises(GraphError, match="operands are float32 and float16"):
        infer("fused_group_norm", [image, vector, vector, added], PLAIN | {"add": "full"})
