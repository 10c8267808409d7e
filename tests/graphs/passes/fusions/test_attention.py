"""Attention in every form that networks write it: fused, and with the same numbers on two executors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs.onnx_modules import run_module
from graphs.passes.fusions.attention_forms import CASTS, KEYS, MASKS, RESULTS, SCALES, Drawing, Form, forms
from graphs.passes.random_graphs import modules
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.interpreter import run
from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.passes.fusions.attention_layout import AttentionLayout
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

# float32 sums of up to 7 terms around 1, an exponential and a quotient, in another order and with the scale applied
# elsewhere: 32 ulp of 4.
ROUNDING = 2e-5

EACH_FORM = [
    *(Form(rank=rank, scale=scale) for rank in (3, 4, 5) for scale in SCALES),
    *(Form(rank=rank, mask=mask) for rank in (3, 4, 5) for mask in MASKS),
    *(Form(rank=rank, key=key, scale="both") for rank in (3, 4, 5) for key in KEYS),
    *(Form(rank=rank, result=result) for rank in (3, 4) for result in RESULTS),
]


def fused(module: Module) -> Module:
    """The module after a fusion that leaves nothing of the attention that it found."""
    result = AttentionFusion().run(module)
    verify(result.module)
    assert (result.rewrites, result.misses) == (1, ())
    operators = [node.operator for node in result.module.entry.nodes]
    assert operators.count("attention") == 1
    assert not {"softmax", "matmul", "mul", "div", "add"}.intersection(operators)
    return result.module


def attention(module: Module) -> Node:
    (node,) = (node for node in module.entry.nodes if node.operator == "attention")
    return node


@pytest.mark.parametrize("form", EACH_FORM, ids=str)
def test_each_form_is_fused_and_keeps_its_numbers(form: Form) -> None:
    module, inputs = form.module(), form.inputs()
    after = fused(module)
    expected = run_module(module, inputs)["result"]
    for result in (run(module, inputs), run(after, inputs), run_module(after, inputs)):
        np.testing.assert_allclose(result["result"], expected, rtol=ROUNDING, atol=ROUNDING)


@settings(deadline=None, max_examples=150)
@given(form=forms(), seed=st.integers(0, 99))
def test_any_form_keeps_its_numbers(form: Form, seed: int) -> None:
    module, inputs = form.module(), form.inputs(seed)
    after = AttentionLayout().run(fused(module)).module
    verify(after)
    apart = Decomposition().run(after).module
    expected = run_module(module, inputs)["result"]
    for result in (run(after, inputs), run_module(after, inputs), run(apart, inputs)):
        np.testing.assert_allclose(result["result"], expected, rtol=ROUNDING, atol=ROUNDING)


@settings(deadline=None, max_examples=100)
@given(form=forms(DType.FLOAT16), seed=st.integers(0, 99))
def test_half_precision_is_rounded_once(form: Form, seed: int) -> None:
    """Whatever casts there were: what float64 gives for the same numbers, rounded to float16."""
    assume((form.scale, form.cast) != ("before the split", "all"))  # float32's attention leaves a scale before the cast
    module, inputs = form.module(), form.inputs(seed)
    after = fused(module)
    wide = replace(form, dtype=DType.FLOAT64, cast="none").module()
    exact = run(wide, {name: array.astype(np.float64) for name, array in inputs.items()})["result"]
    # Half a unit in the last place of float16, and float32's own rounding.
    found = run(after, inputs)["result"].astype(np.float64)
    np.testing.assert_allclose(found, exact, rtol=2.0**-11, atol=ROUNDING)
    # onnxruntime rounds the scores to float16, too: at 20, where the mask puts them, by up to 2^-7, which moves the
    # weights of values up to 8 by as much.
    other = run_module(after, inputs)["result"].astype(np.float64)
    np.testing.assert_allclose(other, exact, rtol=2.0**-8, atol=2.0**-4)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("none", 1.0),
        ("mul", 0.5),
        ("mul first", 0.5),
        ("div", 0.5),
        ("query", 0.625),
        ("key", 0.75),
        ("both", 0.625 * 0.75),
        ("scores and query", 0.5 * 0.625),
        ("before the split", 0.5),
    ],
)
@pytest.mark.parametrize("rank", [3, 4, 5])
def test_scale_is_the_product_of_all_scales(scale: str, expected: float, rank: int) -> None:
    assert attention(fused(Form(scale=scale, rank=rank).module())).attributes["scale"] == expected


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize("key", KEYS)
def test_operands_are_split_heads_and_nothing_else(rank: int, key: str) -> None:
    """Merging batch and heads, and transposing the key for the product, leave no node behind."""
    form = Form(rank=rank, key=key, scale="both")
    after = fused(form.module())
    node = attention(after)
    assert [value.type.shape for value in node.inputs] == [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)]
    for value in node.inputs:
        split = after.entry.producers[value]
        assert (split.operator, split.attributes["permutation"]) == ("transpose", (0, 2, 1, 3))
        assert after.entry.producers[split.inputs[0]].inputs[0] in after.entry.inputs


def test_casts_around_the_softmax_disappear() -> None:
    for cast in CASTS:
        after = fused(Form(cast=cast, dtype=DType.FLOAT16).module())
        casts = sum(node.operator == "cast" for node in after.entry.nodes)
        # Where the value is cast, too, the whole attention is float32's.
        assert (casts, attention(after).output.type.dtype) == ((3, "float32") if cast == "all" else (0, "float16"))


def test_a_constant_mask_changes_its_type_only_where_that_is_exact() -> None:
    """float32's -1e9 isn't a float16; 0 and minus infinity are."""
    for lowest, exact in ((-np.inf, True), (-1e9, False)):
        drawing = Drawing(DType.FLOAT16)
        mask = drawing.constant(np.where(np.tri(4) > 0, 0.0, lowest))
        scores = drawing.add("add", drawing.add("cast", drawing.scores(), dtype="float32"), mask)
        weights = drawing.add("cast", drawing.weights(scores), dtype="float16")
        result = AttentionFusion().run(Module(drawing.builder.build([drawing.mixed(weights)])))
        verify(result.module)
        reasons = ["the mask is %constant: float32[4, 4], but the value is float16; give them one type"]
        assert [miss.reason for miss in result.misses] == ([] if exact else reasons)
        if exact:
            mask_value = result.module.entry.producers[attention(result.module).inputs[3]].attributes["value"]
            np.testing.assert_array_equal(mask_value, np.where(np.tri(4) > 0, 0.0, -np.inf).astype(np.float16))


def test_attention_over_images_needs_no_heads() -> None:
    """The VAE's: (B, C, HW) matrices, scores = query^T key, result = value scores^T."""
    random = np.random.default_rng(0)
    inputs = {name: random.standard_normal((2, 6, 16)).astype(np.float32) for name in ("query", "key", "value")}
    builder = GraphBuilder("main")
    query, key, value = (builder.input(name, TensorType.of(array)) for name, array in inputs.items())
    scores = builder.add("matmul", query, key, transpose_a=True, transpose_b=False)
    scaled = builder.add("mul", scores, builder.constant(np.float32(6**-0.5)))
    weights = builder.add("softmax", scaled, axis=2)
    turned = builder.add("transpose", weights, permutation=(0, 2, 1))
    mixed = builder.add("matmul", value, turned, transpose_a=False, transpose_b=False)
    module = Module(builder.build([builder.add("reshape", mixed, shape=(2, 6, 4, 4))], ["image"]))
    after = fused(module)
    assert [x.type.shape for x in attention(after).inputs] == [(2, 1, 16, 6)] * 3
    expected = run_module(module, inputs)["image"]
    np.testing.assert_allclose(run(after, inputs)["image"], expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("order", [1, -1])
def test_the_mask_may_be_a_product_too(order: int) -> None:
    """As with relative positions, which are a product of the query and of a table that all heads share."""
    drawing = Drawing()
    table = drawing.input("table", 2, 4, 3)
    bias = drawing.add("matmul", drawing.query, table, transpose_a=False, transpose_b=True)
    scaled = drawing.add("mul", drawing.scores(), drawing.constant(0.5))
    weights = drawing.weights(drawing.add("add", *(scaled, bias)[::order]))
    result = AttentionFusion().run(Module(drawing.builder.build([drawing.mixed(weights)])))
    verify(result.module)
    assert (result.rewrites, result.misses) == (1, ())
    assert attention(result.module).inputs == (drawing.query, drawing.key, drawing.value, bias)


def test_attentions_that_share_a_key_or_feed_each_other() -> None:
    drawing = Drawing()
    key = drawing.add("transpose", drawing.key, permutation=(0, 1, 3, 2))
    hidden = drawing.query
    for _ in range(3):
        scores = drawing.add("matmul", hidden, key, transpose_a=False, transpose_b=False)
        hidden = drawing.mixed(drawing.weights(scores))
    module = Module(drawing.builder.build([hidden], ["hidden"]))
    result = AttentionFusion().run(module)
    verify(result.module)
    assert result.rewrites == 3
    assert [node.operator for node in result.module.entry.nodes] == ["attention"] * 3
    random = np.random.default_rng(0)
    inputs = {x.name: random.standard_normal(x.type.shape).astype(np.float32) for x in module.entry.inputs}
    expected = run_module(module, inputs)["hidden"]
    np.testing.assert_allclose(run(result.module, inputs)["hidden"], expected, rtol=ROUNDING, atol=ROUNDING)


@settings(deadline=None, max_examples=60)
@given(module=modules())
def test_modules_without_attention_are_left_alone(module: Module) -> None:
    for step in (AttentionFusion(), AttentionLayout()):
        result = step.run(module)
        assert result.module is module
        assert result.misses == ()
