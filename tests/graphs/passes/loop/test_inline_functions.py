"""inline-functions: which functions are inlined, and what becomes of names and Cells."""

from __future__ import annotations

import numpy as np
from graphs.passes.random_graphs import assert_same_bits, run

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.base import Miss
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.sampling.guidance import Guidance, build_denoise
from coopdraw.graphs.sampling.samplers import build_euler
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

LATENT = TensorType(DType.FLOAT32, (1, 2, 2, 2))


def negations(name: str, count: int, callee: Graph | None = None) -> Graph:
    builder = GraphBuilder(name)
    value = builder.input("x", LATENT)
    if callee is not None:
        (value,) = builder.call(callee, value)
    for _ in range(count):
        value = builder.add("neg", value)
    return builder.build([value], ["y"])


def calling(*functions: Graph) -> Module:
    """An entry that calls each function once, one after the other."""
    builder = GraphBuilder("main")
    value = builder.input("x", LATENT)
    for index, function in enumerate(functions):
        builder.source = f"step.{index}"
        (value,) = builder.call(function, value)
    return Module(builder.build([value]), {function.name: function for function in functions})


def test_guidance_and_sampler_lie_open_in_the_loop() -> None:
    guidance = build_denoise(Guidance({"text": 5.0, "style": 2.0}), LATENT, "guidance.denoise")
    euler = build_euler(LATENT, "sampler.euler")
    builder = GraphBuilder("sampling")
    latent = builder.input("noise", LATENT)
    epsilon = builder.input("epsilon", guidance.inputs[1].type)
    for index in range(2):
        builder.source = f"step.{index}"
        sigma, kept, gained = (builder.constant(np.asarray(number, np.float32)) for number in (3.0, 0.25, 0.75))
        (denoised,) = builder.call(guidance, latent, epsilon, sigma)
        (latent,) = builder.call(euler, latent, denoised, kept, gained)
    module = Module(builder.build([latent], ["latent"]), {"guidance.denoise": guidance, "sampler.euler": euler})

    result = InlineFunctions().run(module)

    verify(result.module)
    assert result.rewrites == 4
    assert dict(result.module.functions) == {}
    assert result.module.entry.outputs == module.entry.outputs
    steps = {node.source for node in result.module.entry.nodes}
    assert steps == {"step.0", "step.1"}
    random = np.random.default_rng(0)
    inputs = {v.name: random.standard_normal(v.type.shape).astype(np.float32) for v in module.entry.inputs}
    assert_same_bits(run(result.module, inputs), run(module, inputs))


def test_size_decides_and_counts_what_was_taken_in() -> None:
    inner = negations("inner", 3)
    outer = negations("outer", 2, inner)
    module = calling(outer, inner)
    result = InlineFunctions(largest=4).run(module)
    verify(result.module)
    # inner's three nodes went into outer, which then has five
    assert list(result.module.functions) == ["outer"]
    assert [node.operator for node in result.module.functions["outer"].nodes] == ["neg"] * 5
    assert result.misses == (Miss("main", "%y (call, Cell step.0)", "outer has 5 nodes; the limit is 4 (largest)"),)
    assert dict(InlineFunctions(largest=5).run(module).module.functions) == {}


def test_small_function_with_a_weight_is_a_miss_and_a_large_one_is_not() -> None:
    small = GraphBuilder("small")
    x = small.input("x", LATENT)
    small_graph = small.build([small.add("mul", x, small.weight("gain", LATENT))], ["y"])
    large = GraphBuilder("large")
    value = large.add("mul", large.input("x", LATENT), large.weight("gain", LATENT))
    for _ in range(5):
        value = large.add("neg", value)
    module = calling(small_graph, large.build([value], ["y"]))
    module = Module(module.entry, module.functions, {"gain": ArrayWeight(np.ones(LATENT.shape, np.float32))})
    result = InlineFunctions(largest=4).run(module)
    assert result.module is module
    reason = "small reads the weight gain, which every copy of its nodes would read"
    assert result.misses == (Miss("main", "%y (call, Cell step.0)", reason),)


def test_function_that_nothing_calls_is_left_to_dead_code() -> None:
    module = calling(negations("called", 1))
    module = Module(module.entry, {**module.functions, "unused": negations("unused", 1)})
    assert list(InlineFunctions().run(module).module.functions) == ["unused"]


def test_argument_handed_back_and_result_named_twice() -> None:
    function = GraphBuilder("f")
    x = function.input("x", LATENT)
    y = function.add("neg", x)
    built = function.build([y, x, y], ["y", "same", "again"])
    builder = GraphBuilder("main")
    value = builder.input("x", LATENT)
    results = builder.call(built, value)
    total = builder.add("add", builder.add("add", results[0], results[1]), results[2])
    module = Module(builder.build([total, *results], ["total", "a", "b", "c"]), {"f": built})
    result = InlineFunctions().run(module)
    verify(result.module)
    inputs = {"x": np.arange(8, dtype=np.float32).reshape(LATENT.shape)}
    assert_same_bits(run(result.module, inputs), run(module, inputs))
    assert [node.operator for node in result.module.entry.nodes] == ["neg", "add", "add"]
