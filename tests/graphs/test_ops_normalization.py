"""Group and layer normalisation against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs.onnx_oracle import assert_agrees, onnx_node
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import infer
from coopdraw.graphs.types import DType, TensorType

# Means in another order move the centred values by ulps of the mean (4), seen after division by a spread around 1; a
# single element per row has variance 0 and divides by sqrt(epsilon), so epsilon isn't taken smaller than 1e-3.
NORMALISED = 5e-5
EPSILON = st.sampled_from([1e-3, 1e-2])


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) + 1).astype(np.float32)


@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    spatial=hnp.array_shapes(min_dims=1, max_dims=2, max_side=5),
    epsilon=EPSILON,
)
def test_group_norm(batch: int, groups: int, per_group: int, spatial: tuple[int, ...], epsilon: float) -> None:
    channels = groups * per_group
    inputs = [numbers((batch, channels, *spatial), 0), numbers((channels,), 1), numbers((channels,), 2)]
    node = onnx_node("GroupNormalization", "012", num_groups=groups, epsilon=epsilon)
    assert_agrees("group_norm", inputs, {"groups": groups, "epsilon": epsilon}, [node], absolute=NORMALISED)


@given(shape=hnp.array_shapes(max_dims=4, max_side=5), epsilon=EPSILON, data=st.data())
def test_layer_norm(shape: tuple[int, ...], epsilon: float, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    inputs = [numbers(shape, 0), numbers(shape[axis:], 1), numbers(shape[axis:], 2)]
    node = onnx_node("LayerNormalization", "012", axis=axis, epsilon=epsilon)
    assert_agrees("layer_norm", inputs, {"epsilon": epsilon}, [node], absolute=NORMALISED)


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("group_norm", [(2, 6, 4), (6,), (6,)], {"groups": 4, "epsilon": 1e-5}, "don't divide into 4 groups"),
        ("group_norm", [(2, 6, 4), (4,), (6,)], {"groups": 2, "epsilon": 1e-5}, r"gamma .* shape \[6\]"),
        ("group_norm", [(2, 6, 4), (6,), (1, 6)], {"groups": 2, "epsilon": 1e-5}, r"beta .* shape \[6\]"),
        ("group_norm", [(6,), (6,), (6,)], {"groups": 2, "epsilon": 1e-5}, "a batch and a channel dimension"),
        ("group_norm", [(2, 6), (6,), (6,)], {"groups": 2, "epsilon": -1.0}, "epsilon is -1.0"),
        ("layer_norm", [(2, 6), (2,), (2,)], {"epsilon": 1e-5}, r"gamma .* shape \[6\]"),
        ("layer_norm", [(2, 6), (), ()], {"epsilon": 1e-5}, "gamma .* 1 to 2 dimensions"),
        ("layer_norm", [(2, 6), (6,), (6,)], {"epsilon": float("nan")}, "epsilon is nan"),
    ],
)
def test_refuses(name: str, shapes: list[tuple[int, ...]], attributes: dict[str, float], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer(name, [TensorType(DType.FLOAT32, shape) for shape in shapes], attributes)
