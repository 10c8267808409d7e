"""Operands on which kernels of Lite 2.0.0 are wrong or missing, and sizes on both sides of such limits."""

from __future__ import annotations

import numpy as np
from graphs.mindir.operator_cases import OperatorCase, normal, positive, simple


def _normalisation(rows: int, columns: int) -> OperatorCase:
    """LayerNorm of few numbers: the kernel leaves rows out on several threads."""
    x = normal(rows, columns)
    return simple("layer_norm", x, normal(columns), normal(columns), epsilon=1e-5)


def _grid(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 4001).astype(np.float32)


def _computed(operator: str, *inputs: np.ndarray, **attributes: object) -> OperatorCase:
    """The last input goes through a sum first, so that it is no input of the graph either."""
    return OperatorCase(
        f"{operator} with a computed bias",
        operator,
        inputs,
        lambda b, *values: b.add(operator, *values[:-1], b.add("add", values[-1], values[-1]), **attributes),
    )


_CONVOLUTION = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
_WIDE = {"groups": 8, "epsilon": 1e-5}

TRAPS = {
    "layer_norm of few rows": [_normalisation(*shape) for shape in ((2, 64), (2, 128), (3, 64), (5, 64), (8, 32))],
    "layer_norm of many": [_normalisation(*shape) for shape in ((64, 128), (77, 768))],
    "group_norm of few": [simple("group_norm", normal(2, 8, 4, 4), normal(8), normal(8), groups=4, epsilon=1e-5)],
    "group_norm of many": [simple("group_norm", normal(2, 64, 32, 32), normal(64), normal(64), **_WIDE)],
    "cos": [simple("cos", _grid(-1000, 1000)), simple("cos", _grid(-4, 4))],
    "tanh": [simple("tanh", _grid(-12, 12))],
    "gelu": [simple("gelu", _grid(-8, 8), approximate=form) for form in ("none", "tanh")],
    "rsqrt": [simple("rsqrt", positive(1000))],
    "reduce_max": [simple("reduce_max", -positive(2, 3, 4), axes=(1,), keepdims=True)],
    "sign": [simple("sign", np.float32([-2.0, -0.0, 0.0, 1e-30, 3.0]))],
    "bias": [
        _computed("linear", normal(3, 4), normal(5, 4), normal(5)),
        _computed("conv2d", normal(2, 8, 6, 6), normal(5, 8, 3, 3), normal(5), **_CONVOLUTION),
    ],
}
