"""fold-constant-arguments: what a static loop's constant arguments decide is computed once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.fold_constant_arguments import FoldConstantArguments
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight, Weight

from .random_graphs import assert_same_bits, run

LATENT = TensorType(DType.FLOAT32, (1, 4))
SCALAR = TensorType(DType.FLOAT32, ())
RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "embed.0": RANDOM.standard_normal((8, 6)).astype(np.float32),
    "embed.2": RANDOM.standard_normal((4, 8)).astype(np.float32),
    "out": RANDOM.standard_normal((4, 4)).astype(np.float32),
}


@dataclass
class CountedWeight(Weight):
    """An array that counts how often it is read."""

    array: np.ndarray
    reads: int = field(default=0)

    @property
    def type(self) -> TensorType:  # type: ignore[override]
        return TensorType.of(self.array)

    def read(self) -> np.ndarray:
        self.reads += 1
        return self.array


def unet() -> Graph:
    """x + the sinusoidal embedding of t through linear, silu, linear; then one more linear."""
    builder = GraphBuilder("unet")
    x, t = builder.input("x", LATENT), builder.input("t", SCALAR)
    builder.source = "time_embed"
    frequencies = builder.constant(np.array([[1.0, 0.1, 0.01]], np.float32))
    angles = builder.add("mul", builder.add("broadcast_to", t, shape=(1, 3)), frequencies)
    embedding = builder.add("concat", builder.add("cos", angles), builder.add("sin", angles), axis=1)
    hidden = builder.add("linear", embedding, builder.weight("embed.0", TensorType.of(WEIGHTS["embed.0"])))
    hidden = builder.add("silu", hidden)
    hidden = builder.add("linear", hidden, builder.weight("embed.2", TensorType.of(WEIGHTS["embed.2"])))
    builder.source = "out"
    y = builder.add("add", x, hidden)
    return builder.build([builder.add("linear", y, builder.weight("out", TensorType.of(WEIGHTS["out"])))], ["epsilon"])


def loop(timesteps: list[float], weights: dict[str, Weight] | None = None) -> Module:
    """One call of the UNet per timestep, from noise."""
    function = unet()
    builder = GraphBuilder("sampling")
    x = builder.input("noise", LATENT)
    for timestep in timesteps:
        (x,) = builder.call(function, x, builder.constant(np.array(timestep, np.float32)))
    known = weights or {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    return Module(builder.build([x], ["latent"]), {"unet": function}, known)


def test_timestep_embedding_of_every_step_is_folded() -> None:
    module = loop([999.0, 500.0, 0.0])
    result = FoldConstantArguments().run(module)
    verify(result.module)
    assert [node.operator for node in result.module.functions["unet"].nodes] == ["add", "weight", "linear"]
    noise = {"noise": np.array([[1.0, -2.0, 0.5, 3.0]], np.float32)}
    assert_same_bits(run(result.module, noise), run(module, noise))
    assert result.rewrites == 3
    # at each call 3 products, 3 cos, 3 sin, 6 * 8 and 8 * 4 multiply-adds, and silu on top
    assert result.notes["flops_saved"] == measure(module).flops - measure(result.module).flops
    assert result.notes["flops_saved"] > 3 * (9 + 2 * 6 * 8 + 2 * 8 * 4)
    # an embedding of 4 numbers instead of a timestep at 3 calls, and the 3 frequencies of the function are gone
    assert result.notes["constant_bytes_added"] == 3 * (16 - 4) - 12
    assert not FoldConstantArguments().run(result.module).modified
    assert set(DeadCode().run(result.module).module.weights) == {"out"}


def test_equal_timesteps_are_evaluated_once_and_share_a_constant() -> None:
    weights = {name: CountedWeight(array) for name, array in WEIGHTS.items()}
    result = FoldConstantArguments().run(loop([7.0, 3.0, 7.0, 7.0], dict(weights)))
    assert {name: weight.reads for name, weight in weights.items()} == {"embed.0": 2, "embed.2": 2, "out": 0}
    assert [node.operator for node in result.module.entry.nodes] == [
        "constant",
        "call",
        "constant",
        "call",
        "call",
        "call",
    ]


def test_argument_that_is_the_same_at_every_call_moves_into_the_function() -> None:
    module = loop([7.0, 7.0])
    result = FoldConstantArguments().run(module)
    assert [value.name for value in result.module.functions["unet"].inputs] == ["x"]
    assert [node.operator for node in result.module.entry.nodes] == ["call", "call"]
    noise = {"noise": np.ones((1, 4), np.float32)}
    assert_same_bits(run(result.module, noise), run(module, noise))


def test_limit_gives_a_miss_and_leaves_the_function_alone() -> None:
    module = loop([3.0, 2.0, 1.0])
    refused = FoldConstantArguments(limit_bytes=47).run(module)
    assert refused.module is module
    (miss,) = refused.misses
    assert (miss.graph, miss.node) == ("unet", "%linear_2 (linear, Cell time_embed)")
    assert miss.reason == "folding would pass 48 bytes; 0 of the limit of 47 (limit_bytes) are used already"
    assert FoldConstantArguments(limit_bytes=48).run(module).modified


def test_argument_that_one_call_computes_is_left_alone() -> None:
    function = unet()
    builder = GraphBuilder("sampling")
    noise, timestep = builder.input("noise", LATENT), builder.input("timestep", SCALAR)
    (x,) = builder.call(function, noise, builder.constant(np.array(3.0, np.float32)))
    (x,) = builder.call(function, x, timestep)
    weights = {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    module = Module(builder.build([x]), {"unet": function}, weights)
    assert FoldConstantArguments().run(module).module is module


def test_work_on_weights_alone_stays_in_the_function() -> None:
    function = GraphBuilder("f")
    x, scale = function.input("x", LATENT), function.input("scale", SCALAR)
    turned = function.add("transpose", function.weight("out", TensorType.of(WEIGHTS["out"])), permutation=(1, 0))
    doubled = function.add("add", scale, scale)
    built = function.build(
        [function.add("mul", function.add("matmul", x, turned, transpose_a=False, transpose_b=False), doubled)]
    )
    builder = GraphBuilder("main")
    value = builder.input("x", LATENT)
    for number in (1.0, 2.0):
        (value,) = builder.call(built, value, builder.constant(np.array(number, np.float32)))
    module = Module(builder.build([value]), {"f": built}, {"out": ArrayWeight(WEIGHTS["out"])})
    result = FoldConstantArguments().run(module)
    assert [node.operator for node in result.module.functions["f"].nodes] == ["weight", "transpose", "matmul", "mul"]


def test_function_of_constants_only_disappears() -> None:
    function = GraphBuilder("label_embedding")
    label = function.input("label", SCALAR)
    built = function.build([function.add("exp", label)], ["embedding"])
    builder = GraphBuilder("main")
    x = builder.input("x", SCALAR)
    (embedding,) = builder.call(built, builder.constant(np.array(0.0, np.float32)))
    module = Module(builder.build([builder.add("add", x, embedding)], ["y"]), {"label_embedding": built})
    result = FoldConstantArguments().run(module)
    assert dict(result.module.functions) == {}
    assert [node.operator for node in result.module.entry.nodes] == ["constant", "add"]
    inputs = {"x": np.array(2.0, np.float32)}
    assert_same_bits(run(result.module, inputs), run(module, inputs))


def test_embedding_reaches_the_constants_through_a_calling_function() -> None:
    inner = unet()
    step = GraphBuilder("step")
    x, t = step.input("x", LATENT), step.input("t", SCALAR)
    (epsilon,) = step.call(inner, x, t)
    outer = step.build([step.add("sub", x, step.add("mul", epsilon, t))], ["x_next"])
    builder = GraphBuilder("sampling")
    value = builder.input("noise", LATENT)
    for timestep in (2.0, 1.0):
        (value,) = builder.call(outer, value, builder.constant(np.array(timestep, np.float32)))
    weights = {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    module = Module(builder.build([value], ["latent"]), {"unet": inner, "step": outer}, weights)

    result = FoldConstantArguments().run(module)

    verify(result.module)
    assert [node.operator for node in result.module.functions["unet"].nodes] == ["add", "weight", "linear"]
    assert [node.operator for node in result.module.functions["step"].nodes] == ["call", "mul", "sub"]
    noise = {"noise": np.ones((1, 4), np.float32)}
    assert_same_bits(run(result.module, noise), run(module, noise))
