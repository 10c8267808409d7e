"""group-norm-fusion: every form that is taken, how it is taken, and what is left alone and why."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs.passes.fusions.equivalence import fuse, only, operators, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.fusions.group_norm import GroupNormFusion
from coopdraw.graphs.types import DType, TensorType

# Sums, means and exponentials in another order: some ulp of float32 (6e-8), divided by the spread of few elements, and
# of values up to 10 that modulation makes; the epsilon of 1e-2 bounds the division.
TOLERANCE = 1e-4
EPSILON = 1e-2


def f32(*shape: int) -> TensorType:
    return TensorType(DType.FLOAT32, shape)


class Block:
    """A graph around one or more norms of images (batch, 4, height, 2) in 2 groups."""

    def __init__(self, batch: int = 2, height: int = 3) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "block.norm"
        self.image, self.rows = f32(batch, 4, height, 2), f32(batch, 4)
        self.weights: dict[str, TensorType] = {}

    def input(self, name: str, type: TensorType | None = None) -> Value:
        return self.builder.input(name, self.image if type is None else type)

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def number(self, number: float) -> Value:
        return self.builder.constant(np.float32(number))

    def weight(self, name: str, *shape: int) -> Value:
        self.weights[name] = f32(*shape)
        return self.builder.weight(name, self.weights[name])

    def norm(self, x: Value, name: str = "norm") -> Value:
        """The weights come right before their norm, after the sum that it may read, as in traced graphs."""
        gamma, beta = self.weight(f"{name}.gamma", 4), self.weight(f"{name}.beta", 4)
        return self.add("group_norm", x, gamma, beta, groups=2, epsilon=EPSILON)

    def spread(self, rows: Value) -> Value:
        """(n, 4) as (n, 4, 1, 1)."""
        return self.add("reshape", rows, shape=(*rows.type.shape, 1, 1))

    def module(self, *outputs: Value) -> Module:
        graph = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        return Module(graph, {}, random_weights(self.weights))


def fused(module: Module) -> Module:
    result = fuse(GroupNormFusion(), module, tolerance=TOLERANCE)
    assert result.misses == ()
    return result.module


def missed(module: Module) -> str:
    """The reason of the only miss of a module that is left alone."""
    result = fuse(GroupNormFusion(), module, tolerance=TOLERANCE)
    assert not result.modified
    (miss,) = result.misses
    assert miss.node == "%group_norm (group_norm, Cell block.norm)"
    return miss.reason


SILUS: dict[str, Callable[[Block, Value], Value]] = {
    "silu": lambda block, y: block.add("silu", y),
    "y * sigmoid(y)": lambda block, y: block.add("mul", y, block.add("sigmoid", y)),
    "sigmoid(y) * y": lambda block, y: block.add("mul", block.add("sigmoid", y), y),
}


def _chunked(block: Block) -> tuple[Value, Value]:
    """Scale and shift cut out of one embedding, as (N, C, 1, 1)."""
    embedding = block.input("embedding", f32(block.rows.shape[0], 8))
    scale, shift = block.builder.add_many("split", block.spread(embedding), axis=1, sizes=(4, 4))
    return scale, shift


def _rows(block: Block) -> tuple[Value, Value]:
    return block.spread(block.input("scale", block.rows)), block.spread(block.input("shift", block.rows))


def _one_row(block: Block) -> tuple[Value, Value]:
    """The same for every sample: of a timestep, and of a vector without batch."""
    return block.spread(block.input("scale", f32(1, 4))), block.input("shift", f32(4, 1, 1))


def _widened(block: Block) -> tuple[Value, Value]:
    scale, shift = _rows(block)
    wide = block.add("broadcast_to", scale, shape=block.image.shape)
    return wide, block.add("tile", shift, repeats=(1, 1, *block.image.shape[2:]))


NUMBERS = {"chunked": _chunked, "rows": _rows, "one row": _one_row, "widened": _widened}


def _one_plus(block: Block, y: Value, scale: Value, shift: Value) -> Value:
    return block.add("add", block.add("mul", y, block.add("add", block.number(1), scale)), shift)


def _plus_one(block: Block, y: Value, scale: Value, shift: Value) -> Value:
    one = block.builder.constant(np.ones((4, 1, 1), np.float32))
    return block.add("add", shift, block.add("mul", block.add("add", scale, one), y))


def _plus_itself(block: Block, y: Value, scale: Value, shift: Value) -> Value:
    return block.add("add", block.add("add", block.add("mul", y, scale), y), shift)


def _itself_plus(block: Block, y: Value, scale: Value, shift: Value) -> Value:
    return block.add("add", shift, block.add("add", y, block.add("mul", scale, y)))


MODULATIONS = {
    "y * (1 + scale)": _one_plus,
    "(scale + 1) * y": _plus_one,
    "y * scale + y": _plus_itself,
    "y + scale * y": _itself_plus,
}


def _embedding(block: Block, x: Value) -> Value:
    return block.add("add", x, block.spread(block.input("added", block.rows)))


def _embedding_first(block: Block, x: Value) -> Value:
    return block.add("add", block.spread(block.input("added", f32(1, 4))), x)


def _expanded_embedding(block: Block, x: Value) -> Value:
    spread = block.spread(block.input("added", block.rows))
    return block.add("add", x, block.add("broadcast_to", spread, shape=block.image.shape))


def _residual(block: Block, x: Value) -> Value:
    return block.add("add", x, block.input("added"))


def _doubled(block: Block, x: Value) -> Value:
    return block.add("add", x, x)


SUMS: dict[str, tuple[str, Callable[[Block, Value], Value]]] = {
    "nothing": ("none", lambda block, x: x),
    "x + embedding": ("channel", _embedding),
    "embedding + x": ("channel", _embedding_first),
    "x + expanded embedding": ("channel", _expanded_embedding),
    "x + residual": ("full", _residual),
    "x + x": ("full", _doubled),
}


@settings(max_examples=120)
@given(
    batch=st.integers(1, 3),
    height=st.integers(2, 4),
    total=st.sampled_from(sorted(SUMS)),
    kept=st.booleans(),
    modulation=st.sampled_from(["nothing", *MODULATIONS]),
    laid_out=st.sampled_from(sorted(NUMBERS)),
    silu=st.sampled_from(["nothing", *SILUS]),
)
def test_every_combination(
    batch: int, height: int, total: str, kept: bool, modulation: str, laid_out: str, silu: str
) -> None:
    block = Block(batch, height)
    add, make_sum = SUMS[total]
    x = make_sum(block, block.input("x"))
    reader = block.add("neg", x)  # before the norm: the fused node must move up
    y = block.norm(x)
    if modulation != "nothing":
        y = MODULATIONS[modulation](block, y, *NUMBERS[laid_out](block))
    if silu != "nothing":
        y = SILUS[silu](block, y)
    keep_sum = kept and add != "none"
    module = fused(block.module(y, reader) if kept else block.module(y))
    if add == "none" and modulation == "nothing" and silu == "nothing":
        assert operators(module)["group_norm"] == 1
        return
    node = only(module, "fused_group_norm")
    assert dict(node.attributes) == {
        "groups": 2,
        "epsilon": EPSILON,
        "activation": "none" if silu == "nothing" else "silu",
        "add": add,
        "modulated": modulation != "nothing",
        "keep_sum": keep_sum,
    }
    assert node.source == "block.norm"
    left = set(operators(module)) - {"fused_group_norm", "reshape", "broadcast_to", "split", "neg"}
    assert not left


def test_the_result_keeps_its_name() -> None:
    block = Block()
    module = fused(block.module(block.add("silu", block.norm(block.input("x")))))
    assert [value.name for value in module.entry.outputs] == ["silu"]


def test_an_embedding_is_read_as_it_was_before_its_reshapes() -> None:
    block = Block()
    rows = block.input("embedding", block.rows)
    spread = block.add("reshape", block.add("reshape", rows, shape=(2, 4, 1)), shape=(2, 4, 1, 1))
    module = fused(block.module(block.norm(block.add("add", block.input("x"), spread))))
    assert operators(module) == {"fused_group_norm": 1}
    assert rows in only(module, "fused_group_norm").inputs


def test_a_chain_of_residual_blocks() -> None:
    """Each sum is read by the next norm and by the next sum; each norm makes its own."""
    block = Block()
    x = block.input("x")
    for index in range(3):
        y = block.add("silu", block.norm(x, f"first.{index}"))
        y = block.add("add", block.add("tanh", y), block.spread(block.input(f"embedding.{index}", block.rows)))
        y = block.add("silu", block.norm(y, f"second.{index}"))
        x = block.add("add", x, block.add("tanh", y))
    module = fused(block.module(block.norm(x, "last"), x))
    norms = [node for node in module.entry.nodes if node.operator == "fused_group_norm"]
    assert [node.attributes["add"] for node in norms] == ["none", *["channel", "full"] * 3]
    assert [node.attributes["keep_sum"] for node in norms] == [False, *[False, True] * 3]
    assert operators(module) == {"fused_group_norm": 7, "tanh": 6}


def test_the_first_of_two_norms_makes_the_sum_for_both() -> None:
    block = Block()
    total = block.add("add", block.input("x"), block.input("residual"))
    first, second = block.norm(total, "first"), block.add("silu", block.norm(total, "second"))
    module = fused(block.module(first, second))
    norms = [node for node in module.entry.nodes if node.operator == "fused_group_norm"]
    assert [node.attributes["add"] for node in norms] == ["full", "none"]
    assert norms[1].inputs[0] is norms[0].outputs[1]


@pytest.mark.parametrize("modulation", sorted(MODULATIONS))
def test_a_sum_that_ends_the_modulation_of_a_norm_is_not_that_of_the_next(modulation: str) -> None:
    block = Block()
    y = MODULATIONS[modulation](block, block.norm(block.input("x"), "first"), *_rows(block))
    result = fuse(GroupNormFusion(), block.module(block.norm(y, "second"), y), tolerance=TOLERANCE)
    assert result.rewrites == 1
    assert operators(result.module) == {"fused_group_norm": 1, "group_norm": 1}


def test_a_sum_that_the_graph_returns_is_kept() -> None:
    block = Block()
    total = block.add("add", block.input("x"), block.input("residual"))
    module = fused(block.module(total, block.add("silu", block.norm(total))))
    assert only(module, "fused_group_norm").attributes["keep_sum"] is True
    assert operators(module) == {"fused_group_norm": 1}


def test_a_sum_that_its_own_modulation_needs_stays_outside() -> None:
    """The fused node would have to give the sum before it gets the scale."""
    block = Block()
    total = block.add("add", block.input("x"), block.input("residual"))
    pooled = block.add("reduce_mean", total, axes=(2, 3), keepdims=True)
    y = _one_plus(block, block.norm(total), pooled, block.spread(block.input("shift", block.rows)))
    module = fused(block.module(block.add("silu", y)))
    assert operators(module) == {"add": 1, "reduce_mean": 1, "reshape": 1, "fused_group_norm": 1}
    assert only(module, "fused_group_norm").attributes["modulated"] is True


def test_sums_that_need_each_other_through_modulations_stay_outside() -> None:
    """Either could go in alone, but the two fused nodes would wait for each other."""
    block = Block()
    shift = block.spread(block.input("shift", block.rows))
    sums = [block.add("add", block.input(f"x{index}"), block.input(f"residual{index}")) for index in range(2)]
    pooled = [block.add("reduce_mean", total, axes=(2, 3), keepdims=True) for total in sums]
    results = [
        block.add("silu", _one_plus(block, block.norm(sums[index], f"norm.{index}"), pooled[1 - index], shift))
        for index in range(2)
    ]
    module = fused(block.module(*results))
    assert operators(module)["fused_group_norm"] == 2
    assert operators(module)["add"] == 2


def test_a_norm_that_only_dead_nodes_read_keeps_the_sum_in_place() -> None:
    block = Block()
    total = block.add("add", block.input("x"), block.input("residual"))
    block.add("silu", block.norm(total))
    module = block.module(block.add("neg", total))
    assert not GroupNormFusion().run(module).modified


def test_nothing_around_a_norm_is_no_miss() -> None:
    block = Block()
    assert operators(fused(block.module(block.add("relu", block.norm(block.input("x"))))))["group_norm"] == 1


@pytest.mark.parametrize("shape", [(2, 1, 3, 2), (1, 4, 3, 2), (3, 2), (1,), ()])
def test_a_sum_that_broadcasts_otherwise_stays_outside(shape: tuple[int, ...]) -> None:
    block = Block()
    total = block.add("add", block.input("x"), block.input("added", f32(*shape)))
    module = fused(block.module(block.add("silu", block.norm(total))))
    assert only(module, "fused_group_norm").attributes["add"] == "none"
    assert operators(module)["add"] == 1


def test_a_tile_that_repeats_channels_is_no_embedding() -> None:
    block = Block()
    tiled = block.add("tile", block.input("added", f32(2, 2, 1, 1)), repeats=(1, 2, 3, 2))
    module = fused(block.module(block.norm(block.add("add", block.input("x"), tiled))))
    assert only(module, "fused_group_norm").attributes["add"] == "full"
    assert operators(module)["tile"] == 1


@pytest.mark.parametrize("silu", sorted(SILUS))
def test_another_reader_of_the_norm_is_a_miss(silu: str) -> None:
    block = Block()
    y = block.norm(block.input("x"))
    block.builder.source = "block.other"
    reason = missed(block.module(SILUS[silu](block, y), block.add("tanh", y)))
    assert reason == "the normalised value has another user, %tanh (tanh, Cell block.other)"


def test_a_norm_that_the_graph_returns_is_a_miss() -> None:
    block = Block()
    y = block.norm(block.input("x"))
    reason = missed(block.module(block.add("silu", y), y))
    assert reason == "the normalised value has another user, output y1 of the graph"


def test_another_reader_of_the_sigmoid_is_a_miss() -> None:
    block = Block()
    y = block.norm(block.input("x"))
    gate = block.add("sigmoid", y)
    block.builder.source = "block.other"
    reason = missed(block.module(block.add("mul", y, gate), block.add("neg", gate)))
    assert reason == "the sigmoid of its SiLU has another user, %neg (neg, Cell block.other)"


def test_a_node_between_norm_and_silu_is_a_miss() -> None:
    block = Block()
    y = block.norm(block.input("x"))
    block.builder.source = "block.view"
    reason = missed(block.module(block.add("silu", block.add("reshape", y, shape=(2, 4, 6)))))
    assert reason == "%reshape (reshape, Cell block.view) stands between the norm and its SiLU"


@pytest.mark.parametrize("shape", [(2, 4, 3, 2), (2, 1, 3, 2), ()])
def test_a_modulation_that_is_not_per_channel_is_a_miss(shape: tuple[int, ...]) -> None:
    block = Block()
    y = block.norm(block.input("x"))
    y = _one_plus(block, y, block.input("scale", f32(*shape)), block.spread(block.input("shift", block.rows)))
    assert missed(block.module(block.add("silu", y))) == (
        "%mul (mul, Cell block.norm) and %add_2 (add, Cell block.norm) stand between the norm and its SiLU, and they "
        "aren't 1 + scale and shift with a number per sample and channel"
    )


def _scaled_only(block: Block, scale: Value, shift: Value) -> Value:
    return block.add("silu", block.add("add", block.add("mul", block.norm(block.input("x")), scale), shift))


@pytest.mark.parametrize("laid_out", sorted(NUMBERS))
def test_a_factor_is_one_more_than_the_scale(laid_out: str) -> None:
    """What is left of 1 + scale when scale is known."""
    block = Block()
    module = fused(block.module(_scaled_only(block, *NUMBERS[laid_out](block))))
    assert only(module, "fused_group_norm").attributes["modulated"] is True
    assert operators(module)["sub"] == 1
    assert only(module, "sub").output.type == block.rows


def test_a_factor_in_half_precision_is_a_miss() -> None:
    block = Block()
    block.image, block.rows = (TensorType(DType.FLOAT16, type.shape) for type in (block.image, block.rows))
    x, scale, shift = block.input("x"), *_rows(block)
    one, zero = block.builder.constant(np.ones(4, np.float16)), block.builder.constant(np.zeros(4, np.float16))
    norm = block.add("group_norm", x, one, zero, groups=2, epsilon=EPSILON)
    y = block.add("silu", block.add("add", block.add("mul", norm, scale), shift))
    result = GroupNormFusion().run(block.module(y))
    assert not result.modified
    assert "aren't 1 + scale and shift" in result.misses[0].reason


def test_a_value_that_modulates_itself_is_left_alone() -> None:
    """With one pixel an image could pass for a number per channel."""
    block = Block(height=1)
    block.image = f32(2, 4, 1, 1)
    y = block.norm(block.input("x"))
    total = block.add("add", block.add("mul", y, y), y)
    module = fused(block.module(block.add("add", total, total)))
    assert operators(module) == {"group_norm": 1, "mul": 1, "add": 2}


def test_half_precision_is_fused_too() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT16, (2, 4, 3, 2)))
    one, zero = builder.constant(np.ones(4, np.float16)), builder.constant(np.zeros(4, np.float16))
    norm = builder.add("group_norm", x, one, zero, groups=2, epsilon=EPSILON)
    module = Module(builder.build([builder.add("silu", norm)]))
    # The norm is rounded to float16 before the SiLU, and not after: half an ulp of values up to 4, twice.
    result = fuse(GroupNormFusion(), module, tolerance=2e-3, onnx=False)
    assert operators(result.module) == {"fused_group_norm": 1}
