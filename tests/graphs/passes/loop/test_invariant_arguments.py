"""hoist-invariant-arguments: what depends on repeated arguments is computed once for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from graphs.passes.random_graphs import assert_same_bits, run

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.passes.loop.invariant_arguments import HoistInvariantArguments
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

LATENT, CONTEXT = TensorType(DType.FLOAT32, (1, 4)), TensorType(DType.FLOAT32, (1, 3))
RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "to_k": RANDOM.standard_normal((4, 3)).astype(np.float32),
    "hint": RANDOM.standard_normal((4, 3)).astype(np.float32),
    "out": RANDOM.standard_normal((4, 4)).astype(np.float32),
}
PRODUCT = 2 * 4 * 3  # FLOPs of one row through a weight of (4, 3)


def linear(builder: GraphBuilder, x: Value, name: str) -> Value:
    return builder.add("linear", x, builder.weight(name, TensorType.of(WEIGHTS[name])), name=f"{name}.result")


def network(name: str = "unet") -> Graph:
    """(latent + out(latent)) * to_k(context)."""
    builder = GraphBuilder(name)
    latent, context = builder.input("latent", LATENT), builder.input("context", CONTEXT)
    builder.source = "attn2"
    keys = linear(builder, context, "to_k")
    builder.source = "out"
    moved = builder.add("add", latent, linear(builder, latent, "out"))
    return builder.build([builder.add("mul", moved, keys)], ["epsilon"])


def module_of(entry: Graph, *functions: Graph) -> Module:
    weights = {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    return DeadCode().run(Module(entry, {graph.name: graph for graph in functions}, weights)).module


def loop(function: Graph, contexts: Sequence[int], *called: Graph) -> Module:
    """The function, which may call others, called once for each number, which says which context."""
    builder = GraphBuilder("sampling")
    latent = builder.input("noise", LATENT)
    inputs = [builder.input(f"context.{number}", CONTEXT) for number in range(max(contexts) + 1)]
    for index, number in enumerate(contexts):
        builder.source = f"step.{index}"
        (latent,) = builder.call(function, latent, inputs[number])
    return module_of(builder.build([latent], ["latent"]), function, *called)


def hoisted(module: Module, limit_bytes: int = 1 << 20) -> PassResult:
    """The result, checked: the same bits, and FLOPs as noted."""
    result = HoistInvariantArguments(limit_bytes).run(module)
    verify(result.module)
    random = np.random.default_rng(1)
    inputs = {v.name: random.standard_normal(v.type.shape).astype(np.float32) for v in module.entry.inputs}
    assert_same_bits(run(result.module, inputs), run(module, inputs))
    assert result.notes.get("flops_saved", 0) == measure(module).flops - measure(result.module).flops
    return result


def operators(graph: Graph) -> list[str]:
    return [str(node.attributes.get("function", node.operator)) for node in graph.nodes]


def test_projection_of_the_text_is_computed_once() -> None:
    result = hoisted(loop(network(), [0, 0, 0]))
    assert operators(result.module.entry) == ["unet.invariants", "unet", "unet", "unet"]
    assert result.module.entry.nodes[0].source == "step.0"
    assert operators(result.module.functions["unet.invariants"]) == ["weight", "linear"]
    assert operators(result.module.functions["unet"]) == ["weight", "linear", "add", "mul"]
    assert [value.name for value in result.module.functions["unet"].inputs] == ["latent", "to_k.result"]
    # two of three products, each of which read context and weight and wrote four numbers
    moved = 4 * (3 + 12 + 4)
    assert dict(result.notes) == {
        "nodes_removed": -1,
        "flops_saved": 2 * PRODUCT,
        "bytes_saved": 2 * moved,
        "values_passed": 1,
        "bytes_passed": 16,
        "flops_saved_per_call": PRODUCT,
        "bytes_saved_per_call": moved,
    }


def test_calls_with_equal_arguments_form_groups_wherever_they_stand() -> None:
    result = hoisted(loop(network(), [0, 1, 0, 1, 1]))
    calls = ["unet.invariants", "unet", "unet.invariants", "unet", "unet", "unet", "unet"]
    assert operators(result.module.entry) == calls
    assert result.notes["flops_saved"] == 3 * PRODUCT
    assert result.notes["bytes_passed"] == 2 * 16


def test_every_context_once_or_one_call_has_nothing_to_gain() -> None:
    for contexts in ([0, 1, 2], [0]):
        module = loop(network(), contexts)
        result = HoistInvariantArguments().run(module)
        assert result.module is module
        assert result.misses == ()


def test_invariants_are_computed_after_what_they_need() -> None:
    """The second group's context is the result of a call of the first group."""
    builder = GraphBuilder("sampling")
    latent, context = builder.input("noise", LATENT), builder.input("context", CONTEXT)
    (first,) = builder.call(network(), latent, context)
    late = builder.add("slice", first, begin=(0, 0), end=(1, 3), stride=(1, 1))
    for argument in (context, late, late):
        (first,) = builder.call(network(), first, argument)
    result = hoisted(module_of(builder.build([first]), network()))
    assert operators(result.module.entry) == [
        "unet.invariants",
        "unet",
        "slice",
        "unet",
        "unet.invariants",
        "unet",
        "unet",
    ]


def test_arguments_that_repeat_less_often_are_cut_off_in_a_second_round() -> None:
    function = GraphBuilder("unet")
    latent, context = function.input("latent", LATENT), function.input("context", CONTEXT)
    hint = function.input("hint", CONTEXT)
    both = function.add("add", linear(function, context, "to_k"), linear(function, hint, "hint"))
    built = function.build([function.add("mul", latent, both)])
    builder = GraphBuilder("sampling")
    value, text = builder.input("noise", LATENT), builder.input("context", CONTEXT)
    hints = [builder.input(f"hint.{index}", CONTEXT) for index in range(2)]
    for index in (0, 0, 0, 1, 1, 1):
        (value,) = builder.call(built, value, text, hints[index])
    result = hoisted(module_of(builder.build([value]), built))
    assert operators(result.module.functions["unet"]) == ["mul"]
    # the text's product once instead of 6 times, the hint's and the sum twice
    assert result.notes["flops_saved"] == 5 * PRODUCT + 4 * (PRODUCT + 4)


def test_broadcast_stays_and_transpose_goes_along() -> None:
    function = GraphBuilder("unet")
    latent = function.input("latent", TensorType(DType.FLOAT32, (8, 4)))
    context = function.input("context", TensorType(DType.FLOAT32, (2, 3)))
    keys = linear(function, context, "to_k")
    wide = function.add("broadcast_to", function.add("reshape", keys, shape=(8, 1)), shape=(8, 4))
    turned = function.add("transpose", linear(function, context, "hint"), permutation=(1, 0))
    scores = function.add("matmul", latent, turned, transpose_a=False, transpose_b=False)
    total = function.add("reduce_sum", scores, axes=(1,), keepdims=True)
    built = function.build([function.add("mul", function.add("add", latent, wide), total)])
    builder = GraphBuilder("sampling")
    value, text = builder.input("noise", latent.type), builder.input("context", context.type)
    for _ in range(2):
        (value,) = builder.call(built, value, text)
    result = hoisted(module_of(builder.build([value]), built))
    made = result.module.functions["unet.invariants"]
    # the reshape moves no bytes and passes as many; 8 * 4 numbers of the broadcast would be four times those before it
    assert sorted(value.name for value in made.outputs) == ["reshape", "transpose"]
    assert "broadcast_to" in operators(result.module.functions["unet"])


def test_value_that_the_function_also_needs_as_it_is_is_not_transposed_before() -> None:
    function = GraphBuilder("unet")
    latent = function.input("latent", TensorType(DType.FLOAT32, (2, 4)))
    context = function.input("context", TensorType(DType.FLOAT32, (2, 3)))
    keys = linear(function, context, "to_k")
    turned = function.add("transpose", keys, permutation=(1, 0))
    product = function.add("matmul", latent, turned, transpose_a=False, transpose_b=False)
    built = function.build(
        [function.add("matmul", product, function.add("add", keys, latent), transpose_a=False, transpose_b=False)]
    )
    builder = GraphBuilder("sampling")
    value, text = builder.input("noise", latent.type), builder.input("context", context.type)
    for _ in range(2):
        (value,) = builder.call(built, value, text)
    result = hoisted(module_of(builder.build([value]), built))
    assert [value.name for value in result.module.functions["unet.invariants"].outputs] == ["to_k.result"]


def test_result_that_does_not_change_leaves_the_function() -> None:
    function = GraphBuilder("unet")
    latent, context = function.input("latent", LATENT), function.input("context", CONTEXT)
    keys = linear(function, context, "to_k")
    built = function.build([keys, function.add("mul", latent, keys)], ["features", "epsilon"])
    builder = GraphBuilder("sampling")
    value, text = builder.input("noise", LATENT), builder.input("context", CONTEXT)
    for _ in range(2):
        features, value = builder.call(built, value, text)
    result = hoisted(module_of(builder.build([value, features], ["y", "features"]), built))
    assert result.module.functions["unet"].output_names == ("epsilon",)
    assert result.module.entry.outputs[1] is result.module.entry.nodes[0].output


def test_function_without_anything_that_changes_disappears() -> None:
    """Two calls with equal arguments, which common-subexpressions would have merged."""
    builder = GraphBuilder("sampling")
    noise, text = builder.input("noise", LATENT), builder.input("context", CONTEXT)
    (first,), (second,) = (builder.call(network(), noise, text) for _ in range(2))
    result = hoisted(module_of(builder.build([builder.add("add", first, second)]), network()))
    assert operators(result.module.entry) == ["unet.invariants", "add"]
    assert list(result.module.functions) == ["unet.invariants"]


def test_limit_is_a_miss_with_the_bytes() -> None:
    module = loop(network(), [0, 1, 0, 1])
    refused = HoistInvariantArguments(limit_bytes=31).run(module)
    assert refused.module is module
    (miss,) = refused.misses
    assert (miss.graph, miss.node) == ("unet", "%to_k.result (linear, Cell attn2)")
    assert miss.reason == "its calls would pass 32 bytes; 0 of the limit of 31 (limit_bytes) are used already"
    assert hoisted(module, 32).modified


def test_work_on_weights_that_both_parts_need_is_not_doubled() -> None:
    function = GraphBuilder("unet")
    latent, context = function.input("latent", LATENT), function.input("context", LATENT)
    costly = function.add("rsqrt", function.add("square", function.weight("out", TensorType.of(WEIGHTS["out"]))))
    used = function.add("reduce_sum", costly, axes=(0,), keepdims=True)
    both = function.add("add", function.add("mul", latent, used), function.add("mul", context, used))
    built = function.build([both])
    builder = GraphBuilder("sampling")
    value, text = builder.input("noise", LATENT), builder.input("context", LATENT)
    for _ in range(2):
        (value,) = builder.call(built, value, text)
    module = module_of(builder.build([value]), built)
    result = HoistInvariantArguments().run(module)
    assert result.module is module
    (miss,) = result.misses
    assert "from its weights, which costs more than is saved" in miss.reason


def test_function_called_twice_inside_a_function_leaves_the_whole_loop() -> None:
    inner = network("inner")
    outer = GraphBuilder("outer")
    latent, context = outer.input("latent", LATENT), outer.input("context", CONTEXT)
    for _ in range(2):
        (latent,) = outer.call(inner, latent, context)
    built = outer.build([latent])
    result = hoisted(loop(built, [0, 0, 0], inner))
    assert operators(result.module.entry) == ["outer.invariants", "outer", "outer", "outer"]
    assert operators(result.module.functions["outer.invariants"]) == ["inner.invariants"]
    assert result.notes["flops_saved"] == 5 * PRODUCT
    assert result.misses == ()


def test_single_call_inside_a_function_is_a_miss_that_inlining_resolves() -> None:
    inner = network("inner")
    wrapper = GraphBuilder("wrapper")
    latent, context = wrapper.input("latent", LATENT), wrapper.input("context", CONTEXT)
    built = wrapper.build(wrapper.call(inner, latent, context))
    module = loop(built, [0, 0, 0], inner)
    refused = HoistInvariantArguments().run(module)
    assert refused.module is module
    (miss,) = refused.misses
    assert miss.reason == (
        "it is called inside wrapper, which gets equal arguments in several of its 3 runs; inline wrapper first"
    )
    result = hoisted(InlineFunctions().run(module).module)
    assert result.notes["flops_saved"] == 2 * PRODUCT
    assert result.misses == ()
