"""Layout BSH: wherever views split heads and join them again, however the projections are packed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs.onnx_modules import run_module
from graphs.passes.fusions.attention_forms import KEYS, MASKS, Form

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.passes.fusions.attention_layout import AttentionLayout
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

BATCH, HEADS, LENGTH, WIDTH = 2, 3, 5, 4
COLUMNS = HEADS * WIDTH
# float32 sums of up to 7 terms around 1, an exponential and a quotient, in another order: 32 ulp of 4.
ROUNDING = 2e-5


def laid_out(module: Module) -> PassResult:
    verify(module)
    result = AttentionLayout().run(module)
    verify(result.module)
    return result


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("rank", [3, 4, 5])
def test_no_view_is_left_of_any_form(rank: int, key: str, mask: str) -> None:
    form = Form(rank=rank, key=key, mask=mask)
    module = AttentionFusion().run(form.module()).module
    result = laid_out(module)
    graph = result.module.entry
    assert (result.rewrites, result.misses) == (1, ())
    attention = graph.producers[graph.outputs[0]]
    assert attention.attributes["layout"] == "BSH"
    assert attention.inputs[:3] == graph.inputs[:3]
    assert {node.operator for node in graph.nodes} <= {"attention", "reshape"}  # a mask of five axes is reshaped


class Projections:
    """A builder with one tensor that query, key and value are parts of."""

    def __init__(self, *shape: int) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "block.attn"
        self.packed = self.builder.input("packed", TensorType(DType.FLOAT32, shape))

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def part(self, x: Value, axis: int, begin: int, end: int, stride: int = 1) -> Value:
        shape = x.type.shape
        starts, ends = [0] * len(shape), list(shape)
        starts[axis], ends[axis] = begin, end
        strides = tuple(stride if index == axis else 1 for index in range(len(shape)))
        return self.add("slice", x, begin=tuple(starts), end=tuple(ends), stride=strides)

    def heads(self, x: Value) -> Value:
        parts = self.add("reshape", x, shape=(BATCH, LENGTH, HEADS, WIDTH))
        return self.add("transpose", parts, permutation=(0, 2, 1, 3))

    def attention(self, query: Value, key: Value, value: Value) -> Value:
        return self.add("attention", query, key, value, heads=HEADS, scale=0.5, layout="BNSD")

    def joined(self, query: Value, key: Value, value: Value) -> Module:
        parts = self.add("transpose", self.attention(query, key, value), permutation=(0, 2, 1, 3))
        return self.module(self.add("reshape", parts, shape=(BATCH, LENGTH, COLUMNS)))

    def module(self, *results: Value) -> Module:
        return Module(self.builder.build(results))


def split_columns() -> Module:
    p = Projections(BATCH, LENGTH, 3 * COLUMNS)
    return p.joined(*map(p.heads, p.builder.add_many("split", p.packed, axis=2, sizes=(COLUMNS,) * 3)))


def sliced_columns() -> Module:
    p = Projections(BATCH, LENGTH, 4 * COLUMNS)
    return p.joined(*(p.heads(p.part(p.packed, 2, i * COLUMNS, (i + 1) * COLUMNS)) for i in (3, 0, 1)))


def flat_rows() -> Module:
    p = Projections(BATCH * LENGTH, 3 * COLUMNS)
    return p.joined(*(p.heads(p.part(p.packed, 1, i * COLUMNS, (i + 1) * COLUMNS)) for i in range(3)))


def five_axes_outermost() -> Module:
    """(B, S, 3, heads, D) as (3, B, heads, S, D), taken apart with slices."""
    p = Projections(BATCH, LENGTH, 3 * COLUMNS)
    parts = p.add("reshape", p.packed, shape=(BATCH, LENGTH, 3, HEADS, WIDTH))
    heads = p.add("transpose", parts, permutation=(2, 0, 3, 1, 4))
    shape = (BATCH, HEADS, LENGTH, WIDTH)
    return p.joined(*(p.add("reshape", p.part(heads, 0, i, i + 1), shape=shape) for i in range(3)))


def five_axes_outermost_gathered() -> Module:
    """The same with gathers of one index, which drop the axis."""
    p = Projections(BATCH, LENGTH, 3 * COLUMNS)
    parts = p.add("reshape", p.packed, shape=(BATCH, LENGTH, 3, HEADS, WIDTH))
    heads = p.add("transpose", parts, permutation=(2, 0, 3, 1, 4))
    return p.joined(*(p.add("gather", heads, p.builder.constant(np.int32(i)), axis=0) for i in range(3)))


def five_axes_in_place() -> Module:
    """(B, S, 3, heads, D) split along its third axis, then each transposed."""
    p = Projections(BATCH, LENGTH, 3 * COLUMNS)
    parts = p.add("reshape", p.packed, shape=(BATCH, LENGTH, 3, HEADS, WIDTH))
    return p.joined(*map(p.heads, p.builder.add_many("split", parts, axis=2, sizes=(1, 1, 1))))


def merged_twice() -> Module:
    """Batch and heads merged and split again on the way."""
    p = Projections(BATCH, LENGTH, COLUMNS)
    merged = p.add("reshape", p.heads(p.packed), shape=(BATCH * HEADS, LENGTH, WIDTH))
    heads = p.add("reshape", merged, shape=(BATCH, HEADS, LENGTH, WIDTH))
    return p.joined(heads, heads, heads)


PACKED: tuple[Callable[[], Module], ...] = (
    split_columns,
    sliced_columns,
    flat_rows,
    five_axes_outermost,
    five_axes_outermost_gathered,
    five_axes_in_place,
    merged_twice,
)


@pytest.mark.parametrize("write", PACKED, ids=lambda write: write.__name__)
def test_packed_projections(write: Callable[[], Module]) -> None:
    module = write()
    result = laid_out(module)
    assert (result.rewrites, result.misses) == (1, ())
    assert {node.operator for node in result.module.entry.nodes} <= {"attention", "reshape", "slice", "split"}
    random = np.random.default_rng(0)
    inputs = {"packed": random.standard_normal(module.entry.inputs[0].type.shape).astype(np.float32)}
    expected = run_module(module, inputs)
    for found in (run(module, inputs), run(result.module, inputs), run_module(result.module, inputs)):
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=ROUNDING, atol=ROUNDING)


def one_head_after_another() -> Module:
    """(B, S, heads, 3, D) as (3, B, heads, S, D): the columns of a query don't lie together."""
    p = Projections(BATCH, LENGTH, 3 * COLUMNS)
    parts = p.add("reshape", p.packed, shape=(BATCH, LENGTH, HEADS, 3, WIDTH))
    heads = p.add("transpose", parts, permutation=(3, 0, 2, 1, 4))
    shape = (BATCH, HEADS, LENGTH, WIDTH)
    return p.joined(*(p.add("reshape", p.part(heads, 0, i, i + 1), shape=shape) for i in range(3)))


def every_other_column() -> Module:
    p = Projections(BATCH, LENGTH, 2 * COLUMNS)
    query = p.heads(p.part(p.packed, 2, 0, 2 * COLUMNS, 2))
    key = p.heads(p.part(p.packed, 2, 0, COLUMNS))
    # A slice is a tensor, too: the query's own source is the slice.
    return p.joined(query, key, p.heads(p.add("exp", p.part(p.packed, 2, 0, COLUMNS))))


def key_is_scaled() -> Module:
    p = Projections(BATCH, LENGTH, COLUMNS)
    heads = p.heads(p.packed)
    return p.joined(heads, p.add("exp", heads), heads)


def key_is_an_input() -> Module:
    p = Projections(BATCH, LENGTH, COLUMNS)
    heads = p.heads(p.packed)
    return p.joined(heads, p.builder.input("heads", heads.type), heads)


def result_has_two_users() -> Module:
    p = Projections(BATCH, LENGTH, COLUMNS)
    heads = p.heads(p.packed)
    result = p.attention(heads, heads, heads)
    parts = p.add("transpose", result, permutation=(0, 2, 1, 3))
    return p.module(p.add("reshape", parts, shape=(BATCH, LENGTH, COLUMNS)), p.add("exp", result))


def result_is_an_output() -> Module:
    p = Projections(BATCH, LENGTH, COLUMNS)
    heads = p.heads(p.packed)
    return p.module(p.attention(heads, heads, heads))


def result_is_not_joined() -> Module:
    p = Projections(BATCH, LENGTH, COLUMNS)
    heads = p.heads(p.packed)
    return p.module(p.add("exp", p.attention(heads, heads, heads)))


MISSED = {
    one_head_after_another: (
        "the result could be (B, S, heads * D), but not the query, which is %reshape_2 (reshape, Cell block.attn), "
        "the key, which is %reshape_3 (reshape, Cell block.attn), "
        "the value, which is %reshape_4 (reshape, Cell block.attn)"
    ),
    key_is_scaled: (
        "the query and the value and the result could be (B, S, heads * D), "
        "but not the key, which is %exp (exp, Cell block.attn)"
    ),
    key_is_an_input: (
        "the query and the value and the result could be (B, S, heads * D), but not the key, which is the input %heads"
    ),
    result_has_two_users: (
        "the query and the key and the value could be (B, S, heads * D), "
        "but not the result, which %transpose_2 (transpose, Cell block.attn) needs"
    ),
    result_is_an_output: (
        "the query and the key and the value could be (B, S, heads * D), "
        "but not the result, which output attention of the graph needs"
    ),
    result_is_not_joined: (
        "the query and the key and the value could be (B, S, heads * D), "
        "but not the result, which %exp (exp, Cell block.attn) needs"
    ),
}


@pytest.mark.parametrize("write", MISSED, ids=lambda write: write.__name__)
def test_heads_that_are_split_only_in_part_are_a_miss(write: Callable[[], Module]) -> None:
    module = write()
    result = laid_out(module)
    assert result.module is module
    (miss,) = result.misses
    (attention,) = (node for node in module.entry.nodes if node.operator == "attention")
    assert (miss.graph, miss.node, miss.reason) == ("main", attention.where(), MISSED[write])


def test_a_slice_is_a_source_of_its_own() -> None:
    result = laid_out(every_other_column())
    assert result.rewrites == 1
    (attention,) = (node for node in result.module.entry.nodes if node.operator == "attention")
    assert [result.module.entry.producers[x].operator for x in attention.inputs] == ["slice", "slice", "exp"]


def test_heads_of_their_own_are_left_alone() -> None:
    """No operand is split and the result isn't joined, as for the single head of a VAE: nothing to win, no miss."""
    shapes = [(BATCH, heads, LENGTH, WIDTH) for heads in (1, HEADS)]
    for shape in shapes:
        builder = GraphBuilder("main")
        inputs = [builder.input(name, TensorType(DType.FLOAT32, shape)) for name in ("query", "key", "value")]
        attention = builder.add("attention", *inputs, heads=shape[1], scale=1.0, layout="BNSD")
        turned = builder.add("transpose", attention, permutation=(0, 1, 3, 2))
        result = laid_out(Module(builder.build([turned])))
        assert (result.modified, result.misses) == (False, ())
