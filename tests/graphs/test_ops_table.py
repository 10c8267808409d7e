"""Rules that hold for every operator: types, half precision, cost, and what the table refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from graphs.onnx_oracle import checked_evaluate

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ops import bytes_moved, infer, lookup, operator_names
from coopdraw.graphs.ops.table import register
from coopdraw.graphs.types import DType, TensorType


class Case(NamedTuple):
    """One use of an operator on float32 operands, unless `dtypes` says otherwise."""

    shapes: tuple[tuple[int, ...], ...]
    attributes: dict[str, Any]
    dtypes: tuple[DType, ...] = ()


IMAGE = (2, 4, 6, 6)
UNARY = ["neg", "abs", "square", "sign", "relu", "identity", "floor", "ceil", "round", "tanh", "erf", "sigmoid", "silu"]
UNARY += ["exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos"]
BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
BOOL = (DType.BOOL, DType.BOOL)

CASES = {
    **{name: Case((IMAGE,), {}) for name in UNARY},
    **{name: Case((IMAGE, (4, 1, 1)), {}) for name in [*BINARY, *COMPARISONS]},
    **{name: Case(((3, 1), (2,)), {}, BOOL) for name in ["logical_and", "logical_or"]},
    **{f"reduce_{kind}": Case((IMAGE,), {"axes": (1, 2), "keepdims": False}) for kind in ["sum", "mean", "max", "min"]},
    "logical_not": Case(((3,),), {}, BOOL[:1]),
    "gelu": Case((IMAGE,), {"approximate": "none"}),
    "softmax": Case((IMAGE,), {"axis": 1}),
    "clamp": Case((IMAGE,), {"minimum": 0.1, "maximum": 0.7}),
    "cast": Case((IMAGE,), {"dtype": "float32"}),
    "select": Case(((6,), IMAGE, (1,)), {}, (DType.BOOL, DType.FLOAT32, DType.FLOAT32)),
    "matmul": Case(((2, 5, 7), (3, 7)), {"transpose_a": False, "transpose_b": True}),
    "linear": Case(((2, 5, 7), (3, 7), (3,)), {}),
    "conv2d": Case(
        (IMAGE, (6, 2, 3, 3), (6,)), {"stride": (1, 2), "padding": (1, 0, 1, 0), "dilation": (1, 1), "groups": 2}
    ),
    "avg_pool2d": Case((IMAGE,), {"kernel": (2, 2), "stride": (2, 2)}),
    "group_norm": Case((IMAGE, (4,), (4,)), {"groups": 2, "epsilon": 1e-5}),
    "layer_norm": Case((IMAGE, (6, 6), (6, 6)), {"epsilon": 1e-5}),
    "constant": Case((), {"value": np.ones((2, 3), np.int8)}),
    "reshape": Case((IMAGE,), {"shape": (8, 36)}),
    "transpose": Case((IMAGE,), {"permutation": (0, 2, 3, 1)}),
    "concat": Case((IMAGE, IMAGE), {"axis": 1}),
    "split": Case((IMAGE,), {"axis": 1, "sizes": (1, 3)}),
    "slice": Case((IMAGE,), {"begin": (0, 1, 0, 0), "end": IMAGE, "stride": (1, 1, 2, 4)}),
    "pad": Case((IMAGE,), {"before": (0, 0, 1, 1), "after": (0, 0, 0, 1), "value": 0.1}),
    "broadcast_to": Case(((4, 1),), {"shape": (2, 4, 3)}),
    "tile": Case((IMAGE,), {"repeats": (1, 2, 1, 1)}),
    "gather": Case((IMAGE, (3,)), {"axis": 1}, (DType.FLOAT32, DType.INT64)),
    "attention": Case(((2, 5, 6), (2, 7, 6), (2, 7, 4), (5, 7)), {"heads": 2, "scale": 0.5, "layout": "BSH"}),
    "fused_group_norm": Case(
        (IMAGE, (4,), (4,), (2, 4), (2, 4), (2, 4)),
        {
            "groups": 2,
            "epsilon": 1e-5,
            "activation": "silu",
            "add": "channel",
            "modulated": True,
            "keep_sum": True,
        },
    ),
    "fused_layer_norm": Case((IMAGE, (6,), (6,), IMAGE), {"epsilon": 1e-5, "keep_sum": True}),
    "geglu": Case((IMAGE, (6,)), {"approximate": "none", "gate": "second"}),
    "bias_activation": Case((IMAGE, (4,)), {"axis": 1, "activation": "gelu"}),
    "linear_combination": Case((IMAGE, IMAGE, IMAGE), {"weights": (0.5, -1.0, 2.25)}),
    "resize": Case((IMAGE,), {"size": (9, 4), "mode": "bicubic", "coordinates": "half_pixel"}),
}
FLOATING_CASES = sorted(name for name in CASES if not name.startswith(("logical", "constant")))


def operands(case: Case, dtype: DType = DType.FLOAT32) -> list[np.ndarray]:
    """Positive random operands whose float32 ones have been rounded to `dtype`."""
    random = np.random.default_rng(0)
    dtypes = case.dtypes or (DType.FLOAT32,) * len(case.shapes)
    arrays = [
        np.asarray(random.uniform(0, 2, shape)).astype(of.numpy) for shape, of in zip(case.shapes, dtypes, strict=True)
    ]
    return [array.astype(dtype.numpy) if array.dtype == np.float32 else array for array in arrays]


def test_every_operator_has_a_case() -> None:
    assert set(CASES) | {"weight", "call"} == set(operator_names())


@pytest.mark.parametrize("name", sorted(CASES))
def test_reference_gives_the_inferred_types(name: str) -> None:
    checked_evaluate(name, operands(CASES[name]), CASES[name].attributes)


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16])
@pytest.mark.parametrize("name", FLOATING_CASES)
def test_half_precision_rounds_once(name: str, dtype: DType) -> None:
    """The result is the float32 result on the same numbers, rounded; so no intermediate was."""
    case = CASES[name]
    halves = operands(case, dtype)
    wide = [array.astype(np.float32) if array.dtype == dtype.numpy else array for array in halves]
    for half, exact in zip(
        checked_evaluate(name, halves, case.attributes), checked_evaluate(name, wide, case.attributes), strict=True
    ):
        wanted = exact if name == "cast" or exact.dtype == bool else exact.astype(dtype.numpy)
        assert half.dtype == wanted.dtype
        np.testing.assert_array_equal(half.astype(np.float32), wanted.astype(np.float32))


def test_half_precision_sums_are_not_stuck() -> None:
    """Summing ones in float16 stops at 2048, in bfloat16 at 256."""
    for dtype in (DType.FLOAT16, DType.BFLOAT16):
        ones = np.ones((1, 4096), dtype.numpy)
        assert checked_evaluate("reduce_sum", [ones], {"axes": (0, 1), "keepdims": False})[0] == 4096
        assert checked_evaluate("linear", [ones, ones], {})[0] == 4096


def test_float64_stays_float64() -> None:
    third = np.array([1.0, 1 / 3])
    np.testing.assert_array_equal(checked_evaluate("mul", [third, third], {})[0], third * third)
    (result,) = checked_evaluate("softmax", [third], {"axis": 0})
    np.testing.assert_allclose(result, np.exp(third) / np.exp(third).sum(), rtol=1e-15)  # 1/3 in float64, not float32


@pytest.mark.parametrize("name", sorted(CASES))
def test_costs_are_counts(name: str) -> None:
    case = CASES[name]
    inputs = [TensorType.of(array) for array in operands(case)]
    outputs = infer(name, inputs, case.attributes)
    assert lookup(name).flops(inputs, outputs, case.attributes) >= 0
    assert bytes_moved(name, inputs, outputs) >= 0


def test_bytes_moved() -> None:
    x, y = TensorType(DType.FLOAT32, (4, 8)), TensorType(DType.FLOAT16, (2, 8))
    assert bytes_moved("add", [x, x], [x]) == 3 * 128
    assert bytes_moved("cast", [x], [TensorType(DType.FLOAT16, (4, 8))]) == 128 + 64
    assert bytes_moved("slice", [x], [y]) == 2 * 32
    assert bytes_moved("gather", [x, TensorType(DType.INT32, (2,))], [y]) == 2 * 32 + 8
    assert [bytes_moved(name, [x], [x]) for name in ("reshape", "identity", "constant", "weight", "call")] == [0] * 5


def test_flops_of_reductions_and_activations() -> None:
    x = TensorType(DType.FLOAT32, (4, 8))
    total = TensorType(DType.FLOAT32, (4,))
    assert lookup("reduce_sum").flops([x], [total], {"axes": (1,), "keepdims": False}) == 32
    assert lookup("silu").flops([x], [x], {}) == 3 * 32
    assert lookup("transpose").flops([x], [x], {"permutation": (1, 0)}) == 0
    assert lookup("logical_not").flops([x], [x], {}) == 0


FLOAT = TensorType(DType.FLOAT32, (2,))
INT = TensorType(DType.INT32, (2,))
TRUTH = TensorType(DType.BOOL, (2,))


@pytest.mark.parametrize(
    ("name", "inputs", "attributes", "message"),
    [
        ("conv3d", [FLOAT], {}, "the operator table has no conv3d"),
        ("add", [FLOAT], {}, "add takes 2 inputs, but has 1"),
        ("conv2d", [FLOAT], {}, "conv2d takes 2 to 3 inputs, but has 1"),
        ("concat", [], {"axis": 0}, "concat takes 1 or more inputs, but has 0"),
        ("add", [FLOAT, FLOAT], {"axis": 0}, "add has attributes"),
        ("softmax", [FLOAT], {}, "softmax has attributes"),
        ("softmax", [FLOAT], {"axis": 0.0}, "attribute axis is 0.0, which is not int"),
        ("softmax", [FLOAT], {"axis": True}, "attribute axis is True, which is not int"),
        ("add", [FLOAT, INT], {}, "operands are float32 and int32; cast one"),
        ("add", [TRUTH, TRUTH], {}, "must be a number"),
        ("exp", [INT], {}, "must be floating point"),
        ("logical_not", [INT], {}, "must be bool"),
        ("select", [INT, FLOAT, FLOAT], {}, "the condition is .* must be bool"),
        ("cast", [INT], {"dtype": "float8"}, "dtype is 'float8', but must be one of"),
        ("gelu", [FLOAT], {"approximate": "erf"}, "approximate is 'erf', but must be one of none, tanh"),
        ("weight", [], {"name": "w"}, "only the module knows its type"),
        ("call", [FLOAT], {"function": "f"}, "only the module knows its type"),
    ],
)
def test_infer_refuses(name: str, inputs: list[TensorType], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer(name, inputs, attributes)


def test_an_operator_is_registered_once() -> None:
    with pytest.raises(GraphError, match="operator add is in the table twice"):
        register(lookup("add"))
