"""Weighted sums: what is merged, what isn't, and that the numbers stay."""

from __future__ import annotations

import numpy as np
from graphs.passes.random_graphs import modules, random_inputs, run
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.passes.fusions.linear_combination import LinearCombinationFusion
from coopdraw.graphs.sampling.guidance import Guidance, build_denoise
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

LATENT = TensorType(DType.FLOAT32, (2, 3))


def fused(module: Module) -> Module:
    result = LinearCombinationFusion().run(module).module
    verify(result)
    return result


def test_guidance_is_one_operator() -> None:
    """uc + 5(c - uc) + 2(s - c) is -4 uc + 3 c + 2 s, times -sigma, plus x."""
    denoise = build_denoise(Guidance({"text": 5.0, "style": 2.0}), LATENT, "denoise")
    builder = GraphBuilder("main")
    x = builder.input("x", LATENT)
    epsilon = builder.input("epsilon", TensorType(DType.FLOAT32, (6, 3)))
    names = dict(zip(denoise.inputs, (x, epsilon, builder.constant(np.float32(0.5))), strict=True))
    for node in denoise.nodes:
        outputs = builder.add_many(node.operator, *(names[value] for value in node.inputs), **node.attributes)
        names.update(zip(node.outputs, outputs, strict=True))
    module = fused(Module(builder.build([names[denoise.outputs[0]]])))
    combination = module.entry.producers[module.entry.outputs[0]]
    assert combination.operator == "linear_combination"
    weights = dict(zip((value.name for value in combination.inputs), combination.attributes["weights"], strict=True))
    assert weights == {"x": 1.0, "split": 2.0, "split_2": -1.5, "split_3": -1.0}


def test_a_value_with_two_users_is_computed_once() -> None:
    builder = GraphBuilder("main")
    x, y = builder.input("x", LATENT), builder.input("y", LATENT)
    shared = builder.add("add", x, builder.add("mul", y, builder.constant(np.float32(2.0))))
    outputs = [builder.add("sub", shared, y), builder.add("neg", shared)]
    module = fused(Module(builder.build(outputs, ["a", "b"])))
    assert [node.operator for node in module.entry.nodes] == ["linear_combination", "sub", "neg"]


def test_a_broadcast_or_an_integer_is_left_alone() -> None:
    builder = GraphBuilder("main")
    x, row = builder.input("x", LATENT), builder.input("row", TensorType(DType.FLOAT32, (3,)))
    count = builder.input("count", TensorType(DType.INT32, (2,)))
    wide = builder.add("neg", builder.add("add", x, row))
    integers = builder.add("add", builder.add("add", count, count), count)
    module = Module(builder.build([wide, integers], ["wide", "integers"]))
    assert not LinearCombinationFusion().run(module).modified


def test_division_by_zero_is_a_miss() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", LATENT)
    broken = builder.add("neg", builder.add("div", x, builder.constant(np.float32(0.0))))
    result = LinearCombinationFusion().run(Module(builder.build([broken])))
    assert [miss.reason for miss in result.misses] == ["a constant factor is not a finite number"]


@settings(max_examples=150, deadline=None)
@given(module=modules(), seed=st.integers(0, 3))
def test_random_modules_keep_their_numbers(module: Module, seed: int) -> None:
    assume(not _jumps(module))
    inputs = random_inputs(module, seed)
    wanted, found = run(module, inputs), run(fused(module), inputs)
    apart = run(Decomposition().run(fused(module)).module, inputs)
    for name, array in wanted.items():
        # Sums in another order: a few roundings of the largest partial sum, which stays below about 1e3 here; sin of
        # a large argument keeps the absolute error.
        for result in (found[name], apart[name]):
            assert result.dtype == array.dtype
            np.testing.assert_allclose(result, array, rtol=2e-3, atol=2e-3)


def _jumps(module: Module) -> bool:
    """Whether the module has an operator that isn't continuous."""
    operators = {node.operator for graph in module.graphs() for node in graph.nodes}
    return bool(operators & {"round", "cast"})
