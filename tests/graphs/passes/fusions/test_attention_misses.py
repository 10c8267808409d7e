"""A softmax between two products that isn't attention: one miss, which says what is in the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs.passes.fusions.attention_forms import Drawing

from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.types import DType
from coopdraw.graphs.verifier import verify


def another_axis(d: Drawing) -> Value:
    return d.mixed(d.weights(axis=2))


def scores_are_an_output(d: Drawing) -> tuple[Value, ...]:
    scores = d.scores()
    return d.mixed(d.weights(scores)), scores


def scores_have_another_user(d: Drawing) -> tuple[Value, ...]:
    scores = d.scores()
    return d.mixed(d.weights(d.add("mul", scores, d.constant(2.0)))), d.add("exp", scores)


def scores_are_added_to_themselves(d: Drawing) -> Value:
    scores = d.scores()
    return d.mixed(d.weights(d.add("add", scores, scores)))


def weights_are_an_output(d: Drawing) -> tuple[Value, ...]:
    weights = d.weights()
    return d.mixed(weights), weights


def weights_have_another_user(d: Drawing) -> tuple[Value, ...]:
    weights = d.weights()
    return d.mixed(weights), d.add("log", weights)


def weights_are_multiplied_by_themselves(d: Drawing) -> Value:
    weights = d.weights()
    return d.mixed(weights, weights)


def scale_per_head(d: Drawing) -> Value:
    scale = d.constant(np.array([1.0, 2.0]).reshape(2, 1, 1))
    return d.mixed(d.weights(d.add("mul", d.scores(), scale)))


def scale_is_an_input(d: Drawing) -> Value:
    return d.mixed(d.weights(d.add("div", d.scores(), d.input("scale"))))


def scale_is_infinite(d: Drawing) -> Value:
    return d.mixed(d.weights(d.add("div", d.scores(), d.constant(0.0))))


def mask_is_scaled(d: Drawing) -> Value:
    masked = d.add("add", d.scores(), d.input("mask", 4, 4))
    return d.mixed(d.weights(d.add("mul", masked, d.constant(0.5))))


def two_masks(d: Drawing) -> Value:
    masked = d.add("add", d.scores(), d.input("mask", 4, 4))
    return d.mixed(d.weights(d.add("add", d.input("bias", 2, 4, 4), masked)))


def mask_is_subtracted(d: Drawing) -> Value:
    return d.mixed(d.weights(d.add("sub", d.scores(), d.input("mask", 4, 4))))


def mask_replaces(d: Drawing) -> Value:
    lowest = d.constant(-1e4)
    return d.mixed(d.weights(d.add("select", d.input("mask", 4, 4, dtype=DType.BOOL), lowest, d.scores())))


def mask_widens(d: Drawing) -> Value:
    scores = d.add("reshape", d.scores(), shape=(1, 2, 4, 4))
    return d.mixed(d.weights(d.add("add", scores, d.input("mask", 3, 1, 4, 4))))


def mask_repeats(d: Drawing) -> Value:
    query, key, value = (d.input(name, 2, 2, 2, 4, 3) for name in ("queries", "keys", "values"))
    scores = d.add("matmul", query, key, transpose_a=False, transpose_b=True)
    return d.mixed(d.weights(d.add("add", scores, d.input("mask", 2, 1, 2, 4, 4)), axis=4), value)


def dropout(d: Drawing) -> Value:
    kept = d.add("mul", d.weights(), d.input("kept", 1, 2, 4, 4))
    return d.mixed(kept)


def extra_key(d: Drawing) -> Value:
    wide = d.add("concat", d.scores(), d.constant(np.zeros((1, 2, 4, 1))), axis=3)
    return d.mixed(d.add("slice", d.weights(wide), begin=(0, 0, 0, 0), end=(1, 2, 4, 4), stride=(1, 1, 1, 1)))


def weights_are_cut(d: Drawing) -> Value:
    cut = d.add("slice", d.weights(), begin=(0, 0, 0, 0), end=(1, 2, 4, 3), stride=(1, 1, 1, 1))
    return d.mixed(cut, d.input("fewer", 1, 2, 3, 3))


def sum_over_queries(d: Drawing) -> Value:
    return d.mixed(d.weights(), transpose_a=True)


def value_first_but_not_transposed(d: Drawing) -> Value:
    value = d.add("transpose", d.value, permutation=(0, 1, 3, 2))
    return d.add("matmul", value, d.weights(), transpose_a=False, transpose_b=False)


def value_repeats(d: Drawing) -> Value:
    return d.mixed(d.weights(), d.input("shared", 1, 1, 4, 3))


def softmax_in_double(d: Drawing) -> Value:
    weights = d.weights(d.add("cast", d.scores(), dtype="float64"))
    return d.mixed(d.add("cast", weights, dtype="float32"))


def softmax_in_half(d: Drawing) -> Value:
    weights = d.weights(d.add("cast", d.scores(), dtype="float16"))
    return d.mixed(d.add("cast", weights, dtype="float32"))


def value_in_half(d: Drawing) -> Value:
    value = d.input("half", 1, 2, 4, 3, dtype=DType.FLOAT16)
    return d.mixed(d.add("cast", d.weights(), dtype="float16"), value)


REFUSED: dict[Callable[[Drawing], Value | tuple[Value, ...]], str] = {
    another_axis: "the softmax is along axis 2 of float32[1, 2, 4, 4], not along the last one",
    scores_are_an_output: "the scores are needed by output matmul of the graph, too",
    scores_have_another_user: "the scores are needed by %exp (exp, Cell block.attn), too",
    scores_are_added_to_themselves: "the scores are needed by %add (add, Cell block.attn), too",
    weights_are_an_output: "the probabilities are needed by output softmax of the graph, too",
    weights_have_another_user: "the probabilities are needed by %log (log, Cell block.attn), too",
    weights_are_multiplied_by_themselves: "the probabilities are needed by %matmul_2 (matmul, Cell block.attn), too",
    scale_per_head: "the scores are scaled in %mul (mul, Cell block.attn), but not by one constant number",
    scale_is_an_input: "the scores are scaled in %div (div, Cell block.attn), but not by one constant number",
    scale_is_infinite: "the scale is inf, but must be finite",
    mask_is_scaled: "the mask is scaled, too, in %mul (mul, Cell block.attn); scale the scores before it is added",
    two_masks: "a second mask is added in %add (add, Cell block.attn); add the masks to each other first",
    mask_is_subtracted: "the scores go through %sub (sub, Cell block.attn), which is neither a scale nor an added mask",
    mask_replaces: (
        "the scores go through %select (select, Cell block.attn), which is neither a scale nor an added mask"
    ),
    mask_widens: "the mask that is added in %add (add, Cell block.attn) has larger extents than the scores; reduce it",
    mask_repeats: "the mask of shape [2, 1, 2, 4, 4] repeats for some of [2, 2, 2]; expand it",
    dropout: "the probabilities go through %mul (mul, Cell block.attn) on the way to the value, as in dropout",
    extra_key: "the scores go through %concat (concat, Cell block.attn), which is neither a scale nor an added mask",
    weights_are_cut: (
        "the probabilities go through %slice (slice, Cell block.attn) on the way to the value, as in dropout"
    ),
    sum_over_queries: (
        "%matmul_2 (matmul, Cell block.attn) takes the probabilities transposed: it sums over queries, not over keys"
    ),
    value_first_but_not_transposed: (
        "%matmul_2 (matmul, Cell block.attn) takes the probabilities transposed: it sums over queries, not over keys"
    ),
    value_repeats: (
        "%matmul_2 (matmul, Cell block.attn) multiplies %softmax: float32[1, 2, 4, 4] and %shared: float32[1, 1, 4, 3],"
        " one of which repeats for several heads or batches; expand it"
    ),
    softmax_in_double: (
        "between the products there is float64, but the value is float32, which attention computes in float32"
    ),
    softmax_in_half: (
        "between the products there is float16, but the value is float32, which attention computes in float32"
    ),
    value_in_half: "the query is %query: float32[1, 2, 4, 3], but the value is float16; give them one type",
}


@pytest.mark.parametrize("write", REFUSED, ids=lambda write: write.__name__)
def test_what_is_not_attention_is_one_miss(write: Callable[[Drawing], Value | tuple[Value, ...]]) -> None:
    drawing = Drawing()
    results = write(drawing)
    outputs = results if isinstance(results, tuple) else (results,)
    module = Module(drawing.builder.build(outputs))
    verify(module)
    result = AttentionFusion().run(module)
    assert result.module is module
    (miss,) = result.misses
    assert (miss.graph, miss.reason) == ("main", REFUSED[write])
    (softmax,) = (node for node in module.entry.nodes if node.operator == "softmax")
    assert miss.node == softmax.where()


def without_second_product(d: Drawing) -> Value:
    return d.weights()


def without_first_product(d: Drawing) -> Value:
    return d.mixed(d.weights(d.input("scores", 1, 2, 4, 4)))


def behind_a_linear_layer(d: Drawing) -> Value:
    weights = d.weights(d.add("linear", d.query, d.input("weight", 4, 3)))
    return d.mixed(weights)


@pytest.mark.parametrize("write", [without_first_product, without_second_product, behind_a_linear_layer])
def test_a_softmax_that_is_not_between_products_is_no_miss(write: Callable[[Drawing], Value]) -> None:
    drawing = Drawing()
    result = AttentionFusion().run(Module(drawing.builder.build([write(drawing)])))
    assert (result.modified, result.misses) == (False, ())
