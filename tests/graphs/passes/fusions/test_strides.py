"""Strides of chains of views, against what the interpreter does with the places of elements."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module, Node, Value
from coopdraw.graphs.passes.fusions.strides import apply_views, dense, offset_in
from coopdraw.graphs.types import DType, TensorType


@st.composite
def view_chains(draw: st.DrawFn) -> tuple[Module, list[tuple[Node, Value]]]:
    """A tensor and one to five views, each of the one before."""
    builder = GraphBuilder("main")
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    value = builder.input("x", TensorType(DType.FLOAT32, shape))
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        value = draw(st.sampled_from([_reshape, _transpose, _slice, _split, _gather]))(draw, builder, value)
        node = builder.producer(value)
        assert node is not None
        steps.append((node, value))
    return Module(builder.build([value], ["y"])), steps


def _reshape(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    extents = list(x.type.shape)
    if len(extents) > 1 and draw(st.booleans()):
        axis = draw(st.integers(0, len(extents) - 2))
        extents[axis : axis + 2] = [extents[axis] * extents[axis + 1]]
    elif extents:
        axis = draw(st.integers(0, len(extents) - 1))
        factor = draw(st.sampled_from([f for f in range(1, extents[axis] + 1) if extents[axis] % f == 0]))
        extents[axis : axis + 1] = [factor, extents[axis] // factor]
    return builder.add("reshape", x, shape=tuple(extents))


def _transpose(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    permutation = draw(st.permutations(range(len(x.type.shape))))
    return builder.add("transpose", x, permutation=tuple(permutation))


def _slice(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    begin = tuple(draw(st.integers(0, extent - 1)) for extent in x.type.shape)
    end = tuple(draw(st.integers(first + 1, extent)) for first, extent in zip(begin, x.type.shape, strict=True))
    stride = tuple(draw(st.integers(1, 2)) for _ in begin)
    return builder.add("slice", x, begin=begin, end=end, stride=stride)


def _split(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    if not x.type.shape or x.type.shape[0] < 2:
        return _transpose(draw, builder, x)
    first = draw(st.integers(1, x.type.shape[0] - 1))
    return draw(st.sampled_from(builder.add_many("split", x, axis=0, sizes=(first, x.type.shape[0] - first))))


def _gather(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    if not x.type.shape:
        return _transpose(draw, builder, x)
    axis = draw(st.integers(0, len(x.type.shape) - 1))
    index = draw(st.integers(0, x.type.shape[axis] - 1))
    indices = np.full(draw(st.sampled_from([(), (1,), (1, 1)])), index, np.int64)
    return builder.add("gather", x, builder.constant(indices), axis=axis)


@settings(deadline=None, max_examples=300)
@given(chain=view_chains())
def test_strides_say_where_every_element_comes_from(chain: tuple[Module, list[tuple[Node, Value]]]) -> None:
    module, steps = chain
    shape = module.entry.inputs[0].type.shape
    places = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    expected = run(module, {"x": places})["y"]
    base = dense(shape)
    view = apply_views(module.entry, steps, base)
    if view is None:
        assert any(node.operator == "reshape" for node, _ in steps)
        return
    found = np.full(view.shape, offset_in(view, base))
    for axis, stride in enumerate(view.strides):
        found += stride * np.arange(view.shape[axis]).reshape(-1, *[1] * (view.ndim - axis - 1))
    np.testing.assert_array_equal(found, expected)
