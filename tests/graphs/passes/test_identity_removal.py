"""identity-removal: each rule where it holds, and just beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.types import DType, TensorType

from .random_graphs import assert_same_bits, run

X = np.array([[-0.0, 0.0, -1.5], [np.inf, -np.inf, np.nan]], np.float32)


def with_operand(operator: str, constant: np.ndarray, constant_first: bool = False) -> Module:
    """x with a constant operand."""
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.of(constant.dtype), (2, 3)))
    operand = builder.constant(constant)
    operands = (operand, x) if constant_first else (x, operand)
    return Module(builder.build([builder.add(operator, *operands)], ["y"]))


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64])
@pytest.mark.parametrize(
    ("operator", "number", "constant_first"),
    [("add", -0.0, False), ("add", -0.0, True), ("sub", 0.0, False), ("mul", 1.0, True), ("div", 1.0, False)],
)
def test_neutral_operand_is_removed(operator: str, number: float, constant_first: bool, dtype: DType) -> None:
    module = with_operand(operator, np.full((2, 3), number).astype(dtype.numpy), constant_first)
    result = IdentityRemoval().run(module)
    assert result.module.entry.nodes == ()
    inputs = {"x": X.astype(dtype.numpy)}
    assert_same_bits(run(result.module, inputs), run(module, inputs))


@pytest.mark.parametrize(("operator", "number"), [("add", 0.0), ("sub", -0.0)])
def test_zero_that_would_change_a_sign_is_a_miss(operator: str, number: float) -> None:
    module = with_operand(operator, np.full((2, 3), number, np.float32))
    result = IdentityRemoval().run(module)
    assert result.module is module
    (miss,) = result.misses
    assert miss.reason == f"{operator} with this zero turns -0.0 into 0.0"
    # the reason is true: the reference gives another bit than x has
    assert np.signbit(X)[0, 0]
    assert not np.signbit(run(module, {"x": X})["y"])[0, 0]


@pytest.mark.parametrize(
    ("operator", "constant", "constant_first"),
    [
        ("sub", np.zeros((2, 3), np.float32), True),
        ("div", np.ones((2, 3), np.float32), True),
        ("mul", np.array([1, 1, 2], np.float32), False),
    ],
)
def test_operand_that_is_not_neutral_stays(operator: str, constant: np.ndarray, constant_first: bool) -> None:
    result = IdentityRemoval().run(with_operand(operator, constant, constant_first))
    assert not result.modified
    assert result.misses == ()


def test_neutral_operand_that_broadcasts_is_a_miss() -> None:
    result = IdentityRemoval().run(with_operand("mul", np.ones((4, 2, 3), np.float32)))
    assert not result.modified
    assert result.misses[0].reason == "the constant broadcasts float32[2, 3] to float32[4, 2, 3]"


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("transpose", {"permutation": (1, 0)}),
        ("slice", {"begin": (0, 1), "end": (2, 3), "stride": (1, 1)}),
        ("tile", {"repeats": (1, 2)}),
        ("pad", {"before": (0, 1), "after": (0, 0), "value": 0.0}),
        ("cast", {"dtype": "float16"}),
        ("reshape", {"shape": (3, 2)}),
        ("broadcast_to", {"shape": (1, 2, 3)}),
    ],
)
def test_operator_that_does_something_stays(operator: str, attributes: dict[str, Any]) -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 3)))
    module = Module(builder.build([builder.add(operator, x, **attributes)]))
    assert not IdentityRemoval().run(module).modified


def test_square_transpose_is_not_taken_for_the_identity() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (3, 3)))
    module = Module(builder.build([builder.add("transpose", x, permutation=(1, 0))]))
    assert not IdentityRemoval().run(module).modified


def test_transposes_compose_in_the_right_order() -> None:
    builder = GraphBuilder("main")
    value = builder.input("x", TensorType(DType.FLOAT32, (2, 3, 4, 5)))
    for permutation in [(1, 2, 0, 3), (0, 3, 1, 2), (3, 2, 1, 0)]:
        value = builder.add("transpose", value, permutation=permutation)
    module = Module(builder.build([value], ["y"]))
    result = IdentityRemoval().run(module)
    assert [node.operator for node in result.module.entry.nodes] == ["transpose"]
    inputs = {"x": np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)}
    assert_same_bits(run(result.module, inputs), run(module, inputs))


def test_inner_transpose_that_something_else_reads_stays() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 3)))
    turned = builder.add("transpose", x, permutation=(1, 0))
    back = builder.add("transpose", turned, permutation=(1, 0))
    result = IdentityRemoval().run(Module(builder.build([turned, builder.add("neg", back)])))
    assert [node.operator for node in result.module.entry.nodes] == ["transpose", "neg"]
    assert result.module.entry.nodes[1].inputs == (x,)


@pytest.mark.parametrize("condition", [True, False])
def test_select_takes_the_side_that_the_constant_says(condition: bool) -> None:
    builder = GraphBuilder("main")
    a, b = (builder.input(name, TensorType(DType.FLOAT32, (2,))) for name in "ab")
    chosen = builder.add("select", builder.constant(np.array(condition)), a, b)
    result = IdentityRemoval().run(Module(builder.build([chosen])))
    assert result.module.entry.outputs == (a if condition else b,)


def test_select_with_a_mixed_condition_stays() -> None:
    builder = GraphBuilder("main")
    a, b = (builder.input(name, TensorType(DType.FLOAT32, (2,))) for name in "ab")
    module = Module(builder.build([builder.add("select", builder.constant(np.array([True, False])), a, b)]))
    assert not IdentityRemoval().run(module).modified


def test_select_that_broadcasts_is_a_miss() -> None:
    builder = GraphBuilder("main")
    a, b = builder.input("a", TensorType(DType.FLOAT32, (1,))), builder.input("b", TensorType(DType.FLOAT32, (2,)))
    result = IdentityRemoval().run(
        Module(builder.build([builder.add("select", builder.constant(np.array(True)), a, b)]))
    )
    assert not result.modified
    assert result.misses[0].reason == "the select broadcasts float32[1] to float32[2]"
