"""HalfPrecision: valid mixed graphs, errors within bounds of half precision, and what stays in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import PassError
from coopdraw.graphs.ir import Graph, Module, Node, Value
from coopdraw.graphs.ops import evaluate, lookup, operator_names
from coopdraw.graphs.passes.base import PassResult
from coopdraw.graphs.passes.float32_islands import DENSE, GROWING, ISLANDS, MOVING
from coopdraw.graphs.passes.half_precision import HalfPrecision, network_names
from coopdraw.graphs.text import format_module, parse_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight, FileWeight, Weight

from .random_graphs import modules, random_inputs, run

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = settings(max_examples=80, deadline=None)
F32, F16 = DType.FLOAT32, DType.FLOAT16


def f32(*shape: int) -> TensorType:
    return TensorType(F32, shape)


def convert(module: Module, *keep: str, dtype: str = "float16") -> PassResult:
    """The module after the pass, verified."""
    result = HalfPrecision(keep, dtype).run(module)
    verify(result.module)
    return result


# Random modules. Every value is followed by a bound on its error if each operator rounds once to float16: a running
# error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 3.3), in float64.

HALF_ULP, LEAST = 2.0**-11, 2.0**-25  # relative to a value, and below the normal numbers


class Bounded:
    """A float64 value and the most by which half precision can miss it; no bound for bools."""

    def __init__(self, value: np.ndarray, error: np.ndarray | float = 0.0) -> None:
        self.value = value.astype(np.float64) if value.dtype != bool else value
        self.error = np.broadcast_to(np.asarray(error, np.float64), value.shape)

    def rounded(self) -> Bounded:
        size = np.abs(self.value) + self.error
        return Bounded(self.value, self.error + HALF_ULP * size * (1 + HALF_ULP) + LEAST)


def bounds_of_graph(module: Module, graph: Graph, inputs: Sequence[Bounded]) -> list[Bounded]:
    known: dict[Value, Bounded] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        operands = [known[value] for value in node.inputs]
        if node.operator == "weight":
            results = [Bounded(module.weights[str(node.attributes["name"])].read()).rounded()]
        elif node.operator == "constant":
            constant = Bounded(np.asarray(node.attributes["value"]))
            results = [constant.rounded() if constant.value.dtype != bool else constant]
        elif node.operator == "call":
            results = bounds_of_graph(module, module.functions[str(node.attributes["function"])], operands)
        else:
            results = bounds_of_node(node, operands)
        known.update(zip(node.outputs, results, strict=True))
    return [known[value] for value in graph.outputs]


def bounds_of_node(node: Node, operands: Sequence[Bounded]) -> list[Bounded]:
    values, errors = [o.value for o in operands], [o.error for o in operands]
    with np.errstate(all="ignore"):
        if node.operator in MOVING:
            made = evaluate(node.operator, values, node.attributes)
            moved = [error if value.dtype != bool else value for value, error in zip(values, errors, strict=True)]
            error_of = evaluate(node.operator, moved, node.attributes)
            return [Bounded(value, error) for value, error in zip(made, error_of, strict=True)]
        exact = values[0] if node.operator == "cast" else evaluate(node.operator, values, node.attributes)[0]
        match node.operator:
            case "cast" | "neg" | "abs" | "sin" | "relu":  # nowhere steeper than 1
                error = errors[0]
            case "sigmoid" | "round":  # monotonous
                ends = [evaluate(node.operator, [values[0] + sign * errors[0]], {})[0] for sign in (-1, 1)]
                error = np.maximum(exact - ends[0], ends[1] - exact)
            case "add" | "sub":
                error = errors[0] + errors[1]
            case "maximum" | "minimum":
                error = np.maximum(*errors)
            case "mul":
                error = abs(values[0]) * errors[1] + abs(values[1]) * errors[0] + errors[0] * errors[1]
            case "reduce_sum":
                error = evaluate("reduce_sum", [errors[0]], node.attributes)[0]
            case _:
                raise AssertionError(f"no bound for {node.operator}")
    # Once as a result, and once more where a float32 result is read in half precision.
    return [Bounded(np.asarray(exact), error).rounded().rounded()]


def called_on_inputs(module: Module) -> Module:
    """The module with an entry that calls every function once, on inputs of its own, and weights with many digits."""
    entry = GraphBuilder("main")
    outputs: list[Value] = []
    for name in sorted(module.functions):
        graph = module.functions[name]
        arguments = [entry.input(f"{name}.{value.name}", value.type) for value in graph.inputs]
        outputs += entry.call(graph, *arguments)
    names = [f"y{index}" for index in range(len(outputs))]
    weights = {name: ArrayWeight(weight.read() / np.float32(3)) for name, weight in module.weights.items()}
    return Module(entry.build(outputs, names), module.functions, weights)


@settings(max_examples=200, deadline=None)
@given(module=modules())
def test_random_modules_stay_valid_and_within_the_bound(module: Module) -> None:
    convert(module)
    assume(module.functions)
    module = called_on_inputs(module)
    inputs = random_inputs(module)
    result = convert(module)
    wanted = bounds_of_graph(module, module.entry, [Bounded(inputs[v.name]).rounded() for v in module.entry.inputs])
    assume(all(np.all(np.abs(bound.value) + bound.error < 3e4) for bound in wanted))
    found = run(result.module, inputs)
    for array, bound in zip(found.values(), wanted, strict=True):
        assert np.all(np.abs(array.astype(np.float64) - bound.value) <= bound.error)


@EXAMPLES
@given(module=modules())
def test_reports_keep_their_promises(module: Module) -> None:
    first, second = convert(module), convert(module)
    assert first.modified == (first.module is not module) == (first.rewrites > 0)
    assert first.modified == (format_module(first.module) != format_module(module))
    assert format_module(first.module) == format_module(second.module)
    assert (first.misses, dict(first.notes)) == (second.misses, dict(second.notes))


@EXAMPLES
@given(module=modules())
def test_second_run_changes_nothing(module: Module) -> None:
    once = convert(module).module
    assert HalfPrecision().run(once).module is once


@EXAMPLES
@given(module=modules())
def test_only_networks_change_their_signature(module: Module) -> None:
    after = convert(module).module
    assert [v.type for v in (*after.entry.inputs, *after.entry.outputs)] == [
        v.type for v in (*module.entry.inputs, *module.entry.outputs)
    ]
    networks = network_names(module)
    for name, graph in module.functions.items():
        types = [v.type for v in (*graph.inputs, *graph.outputs)]
        if name not in networks:
            assert [v.type for v in (*after.functions[name].inputs, *after.functions[name].outputs)] == types
        assert after.functions[name].output_names == graph.output_names


# Text


def golden(kind: str) -> Module:
    text = (GOLDEN / f"half-precision.{kind}.txt").read_text()
    return parse_module(text)


def test_golden() -> None:
    result = convert(golden("before"), "vae")
    assert format_module(result.module) == (GOLDEN / "half-precision.after.txt").read_text()
    (miss,) = result.misses
    assert miss.node == "%masked (maximum, Cell block.mask)"
    assert miss.reason == "the constant %huge has 1e+09, which is above the largest float16, 65504"
    counted = {name: result.notes[name] for name in ("functions_in_half", "nodes_in_half", "nodes_in_float32", "casts")}
    assert counted == {"functions_in_half": 2, "nodes_in_half": 11, "nodes_in_float32": 9, "casts": 11}
    assert HalfPrecision(("vae",)).run(golden("after")).modified is False


# Islands


def network(build: Any, **inputs: TensorType) -> Module:
    """An entry that calls `net.unet`, whose body is `build(builder, *inputs)`; it reads the weight `w` (4, 4)."""
    builder = GraphBuilder("net.unet")
    parameters = [builder.input(name, type) for name, type in inputs.items()]
    builder.source = "block"
    output = build(builder, *parameters)
    function = builder.build([output], ["out"])
    entry = GraphBuilder("main")
    arguments = [entry.input(name, type) for name, type in inputs.items()]
    (result,) = entry.call(function, *arguments)
    weights = {"w": ArrayWeight(np.eye(4, dtype=np.float32)), "long": ArrayWeight(np.ones(4, np.float32))}
    return Module(entry.build([result], ["out"]), {"net.unet": function}, weights)


def dtypes(module: Module, function: str = "net.unet") -> dict[str, DType]:
    """Element types of the results by operator; each operator is there once, or always the same."""
    graph = module.functions[function]
    return {node.operator: node.outputs[0].type.dtype for node in graph.nodes if node.operator != "cast"}


def linear(builder: GraphBuilder, x: Value) -> Value:
    return builder.add("linear", x, builder.weight("w", f32(4, 4)))


UNARY_ISLANDS = ("square", "exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "erf")


@pytest.mark.parametrize("operator", UNARY_ISLANDS)
def test_islands_have_casts_around_them(operator: str) -> None:
    module = network(lambda b, x: linear(b, b.add(operator, linear(b, x))), x=f32(2, 4))
    result = convert(module)
    assert dtypes(result.module) == {"weight": F16, "linear": F16, operator: F32}
    assert result.notes["casts"] == 4  # two around the island, two around the call
    assert result.notes["weight_bytes_removed"] == 32


def test_every_operator_is_in_one_class() -> None:
    for name in operator_names():
        classes = [name in group for group in (ISLANDS, GROWING, MOVING, DENSE, {"constant", "weight"})]
        assert sum(classes) + (lookup(name).decompose is not None) == (0 if name.startswith("logical_") else 1), name


def test_norms_and_softmax_are_islands_and_their_weights_float32() -> None:
    def build(b: GraphBuilder, x: Value) -> Value:
        long = b.weight("long", f32(4))
        return linear(b, b.add("softmax", b.add("layer_norm", linear(b, x), long, long, epsilon=1e-5), axis=1))

    after = convert(network(build, x=f32(2, 4))).module
    assert dtypes(after) == {"weight": F16, "linear": F16, "layer_norm": F32, "softmax": F32}
    assert after.weights["long"].type.dtype is F32
    # Nothing is rounded between the norm and the softmax.
    casts = [node for node in after.functions["net.unet"].nodes if node.operator == "cast"]
    assert [node.outputs[0].type.dtype for node in casts] == [F32, F16]


def test_fused_operators_take_half_precision() -> None:
    def build(b: GraphBuilder, x: Value) -> Value:
        long = b.weight("long", f32(4))
        y, s = b.add_many("fused_layer_norm", linear(b, x), long, long, x, epsilon=1e-5, keep_sum=True)
        gated = b.add("geglu", b.add("concat", y, s, axis=2), approximate="none", gate="second")
        return b.add("attention", gated, s, s, heads=2, scale=0.5, layout="BSH")

    found = dtypes(convert(network(build, x=f32(1, 2, 4))).module)
    assert set(found.values()) == {F16}
    assert {"fused_layer_norm", "geglu", "attention"} <= set(found)


def test_sinusoid_of_the_timestep_keeps_its_input() -> None:
    """sin(999 * f) needs all digits of 999 * f: float16 has steps of 0.5 there."""

    def build(b: GraphBuilder, x: Value, t: Value) -> Value:
        frequencies = b.constant(np.array([1.0, 0.1, 0.01, 0.001], np.float32))
        angles = b.add("mul", b.add("reshape", t, shape=(1, 1)), frequencies)
        return b.add("add", linear(b, x), linear(b, b.add("sin", angles)))

    module = network(build, x=f32(1, 4), t=f32(1))
    after = convert(module).module
    assert [v.type.dtype for v in after.functions["net.unet"].inputs] == [F16, F32]
    assert dtypes(after) | {"constant": F32} == {
        "constant": F32, "reshape": F32, "mul": F32, "sin": F32, "weight": F16, "linear": F16, "add": F16
    }  # fmt: skip
    feeds = {"x": np.zeros((1, 4), np.float32), "t": np.array([999.0], np.float32)}
    # One rounding of values up to 1, in the linear layer of the identity and the sum.
    np.testing.assert_allclose(run(after, feeds)["out"], run(module, feeds)["out"], rtol=0, atol=2.0**-10)


def test_islands_grow_over_neighbours_with_one_operand() -> None:
    """GELU written out: 1 + erf(x / sqrt 2) cancels for negative x and must not be rounded before the product."""

    def build(b: GraphBuilder, x: Value) -> Value:
        y = linear(b, x)
        bell = b.add("erf", b.add("div", y, b.constant(np.float32(2**0.5))))
        return linear(b, b.add("mul", y, b.add("add", bell, b.constant(np.float32(1)))))

    after = convert(network(build, x=f32(1, 4))).module
    found = dtypes(after)
    assert [found[name] for name in ("div", "erf", "add", "mul")] == [F32, F32, F32, F16]
    assert len([node for node in after.functions["net.unet"].nodes if node.operator == "cast"]) == 2


def test_moving_operators_move_few_bytes() -> None:
    """Behind an island the cast comes first; between two islands nothing is cast."""

    def build(b: GraphBuilder, x: Value) -> Value:
        first = b.add("transpose", b.add("exp", linear(b, x)), permutation=(1, 0))
        second = b.add("reshape", b.add("sin", b.add("exp", linear(b, first))), shape=(4, 4))
        return linear(b, b.add("cos", b.add("slice", second, begin=(0, 0), end=(4, 4), stride=(1, 1))))

    found = dtypes(convert(network(build, x=f32(4, 4))).module)
    assert (found["transpose"], found["reshape"], found["slice"]) == (F16, F32, F32)


@pytest.mark.parametrize(
    ("number", "dtype", "reason"),
    [
        (1e-6, "float16", "the constant %constant has 1e-06, which is below the smallest normal float16, 6.1e-05"),
        (-7e4, "float16", "the constant %constant has 7e+04, which is above the largest float16, 65504"),
        (7e4, "bfloat16", None),
        (np.inf, "float16", None),
        (0.0, "float16", None),
        (6.2e-5, "float16", None),
    ],
)
def test_constants_that_do_not_fit(number: float, dtype: str, reason: str | None) -> None:
    def build(b: GraphBuilder, x: Value) -> Value:
        return linear(b, b.add("minimum", linear(b, x), b.constant(np.float32(number))))

    result = convert(network(build, x=f32(1, 4)), dtype=dtype)
    assert [miss.reason for miss in result.misses] == ([reason] if reason else [])
    assert dtypes(result.module)["minimum"] == (F32 if reason else DType(dtype))
    if reason:
        assert result.misses[0].node == "%minimum (minimum, Cell block)"


def test_bounds_that_do_not_fit() -> None:
    def build(b: GraphBuilder, x: Value) -> Value:
        return linear(b, b.add("clamp", linear(b, x), minimum=-1e6, maximum=1.0))

    result = convert(network(build, x=f32(1, 4)))
    assert [miss.reason for miss in result.misses] == [
        "its minimum has 1e+06, which is above the largest float16, 65504"
    ]


# Casts at boundaries


def test_values_between_networks_are_not_widened() -> None:
    """What one network makes and another reads stays in half precision, however often it is read in float32 too."""
    inner = GraphBuilder("net.keys")
    keys = inner.build([linear(inner, inner.input("x", f32(1, 4)))], ["keys"])
    outer = GraphBuilder("net.unet")
    x, k = outer.input("x", f32(1, 4)), outer.input("keys", f32(1, 4))
    unet = outer.build([outer.add("add", linear(outer, x), k)], ["out"])
    entry = GraphBuilder("main")
    noise = entry.input("noise", f32(1, 4))
    (shared,) = entry.call(keys, noise)
    state = noise
    for _ in range(3):
        (moved,) = entry.call(unet, state, shared)
        state = entry.add("sub", state, moved)
    state = entry.add("add", state, shared)
    weights = {"w": ArrayWeight(np.eye(4, dtype=np.float32))}
    module = Module(entry.build([state], ["latent"]), {"net.keys": keys, "net.unet": unet}, weights)
    after = convert(module).module
    calls = [node for node in after.entry.nodes if node.operator == "call"]
    assert all(node.inputs[1] is calls[0].outputs[0] for node in calls[1:])
    # noise and two later states narrowed, three results and the shared keys widened, each once
    casts = [node.outputs[0].type.dtype for node in after.entry.nodes if node.operator == "cast"]
    assert sorted(casts) == [F16] * 3 + [F32] * 4
    state_types = {node.outputs[0].type.dtype for node in after.entry.nodes if node.operator in ("add", "sub")}
    assert state_types == {F32}


def test_casts_that_are_there_are_used() -> None:
    """float16 -> float32 -> float16 gives back what it was given; float32 -> float16 -> float32 has to round."""

    def build(b: GraphBuilder, x: Value, h: Value) -> Value:
        widened = b.add("cast", h, dtype="float32")
        rounded = b.add("cast", b.add("cast", b.add("exp", widened), dtype="float16"), dtype="float32")
        return b.add("add", linear(b, widened), b.add("sin", rounded))

    module = network(build, x=f32(1, 4), h=TensorType(F16, (1, 4)))
    after = convert(module).module
    graph = after.functions["net.unet"]
    (layer,) = [node for node in graph.nodes if node.operator == "linear"]
    assert layer.inputs[0] is graph.inputs[1]
    (sine,) = [node for node in graph.nodes if node.operator == "sin"]
    assert [graph.producers[sine.inputs[0]].operator, sine.inputs[0].type.dtype] == ["cast", F32]
    feeds = {"x": np.zeros((1, 4), np.float32), "h": np.array([[0.5, 1.1, 2.2, 3.3]], np.float16)}
    wanted = run(module, feeds)["out"]
    assert np.all(np.abs(run(after, feeds)["out"] - wanted) <= 2.0**-11 * (2 * np.abs(wanted) + 1))


# Weights


class Unreadable(Weight):
    """A weight whose bytes must not be asked for."""

    type = f32(4, 4)

    def read(self) -> np.ndarray:
        raise AssertionError("the pass reads weights")


def shared() -> Module:
    """`vae.decode` and `net.unet`, which read the same weight."""
    functions = {}
    entry = GraphBuilder("main")
    value = entry.input("x", f32(1, 4))
    for name in ("net.unet", "vae.decode"):
        builder = GraphBuilder(name)
        functions[name] = builder.build([linear(builder, builder.input("x", f32(1, 4)))], ["out"])
        (value,) = entry.call(functions[name], value)
    return Module(entry.build([value], ["out"]), functions, {"w": Unreadable(), "w.float16": Unreadable()})


def test_weights_are_converted_when_they_are_read() -> None:
    after = convert(shared()).module
    assert after.weights["w"].type == TensorType(F16, (4, 4))
    with pytest.raises(AssertionError):
        after.weights["w"].read()


def test_weight_node_that_nothing_reads_stays_valid() -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", f32(1, 4))
    builder.weight("w", f32(4, 4))
    module = Module(builder.build([x], ["out"]), shared().functions, {"w": Unreadable()})
    after = convert(module).module
    assert after.entry is module.entry
    assert {name: weight.type.dtype for name, weight in after.weights.items()} == {"w": F32, "w.float16": F16}


def test_weight_of_a_kept_function_too_is_there_twice() -> None:
    after = convert(shared(), "vae").module
    assert {name: str(weight.type.dtype) for name, weight in after.weights.items()} == {
        "w": "float32", "w.float16": "float32", "w.float16_2": "float16"
    }  # fmt: skip
    assert after.functions["net.unet"].weight_names() == ("w.float16_2",)
    assert after.functions["vae.decode"].weight_names() == ("w",)


def test_stored_half_precision_is_read_as_it_is(tmp_path: Path) -> None:
    stored = np.linspace(-1, 1, 16, dtype=np.float16).reshape(4, 4)
    path = tmp_path / "w.bin"
    path.write_bytes(stored.tobytes())
    weight = FileWeight(path, ((0, 32),), TensorType(F16, (4, 4)), f32(4, 4))
    module = network(linear, x=f32(1, 4))
    after = convert(Module(module.entry, module.functions, {"w": weight})).module
    assert isinstance(after.weights["w"], FileWeight)
    assert after.weights["w"].stored == after.weights["w"].type
    np.testing.assert_array_equal(after.weights["w"].read(), stored)


def test_weights_that_are_too_large_become_infinite() -> None:
    module = network(linear, x=f32(1, 4))
    large = {"w": ArrayWeight(np.full((4, 4), 7e4, np.float32))}
    assert np.isinf(convert(Module(module.entry, module.functions, large)).module.weights["w"].read()).all()


# What is kept


def blocks() -> Module:
    """A UNet of two blocks and a decoder."""
    module = shared()
    builder = GraphBuilder("net.unet")
    value = builder.input("x", f32(1, 4))
    for source in ("blocks.0", "blocks.1", "blocks.10"):
        builder.source = source
        value = linear(builder, value)
    graph = builder.build([value], ["out"])
    return Module(module.entry, {**module.functions, "net.unet": graph}, module.weights)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ((), set()),
        (("net",), {"net.unet"}),
        (("net.unet", "vae.decode"), {"net.unet", "vae.decode"}),
        (("net/blocks.1",), {"blocks.1"}),
        (("net.unet/blocks",), {"blocks.0", "blocks.1", "blocks.10"}),
        (("vae", "net/blocks.0"), {"vae.decode", "blocks.0"}),
    ],
)
def test_keep_float32(keep: tuple[str, ...], kept: set[str]) -> None:
    after = convert(blocks(), *keep).module
    wide = set()
    for name, graph in after.functions.items():
        layers = [node for node in graph.nodes if node.operator == "linear"]
        of_function = {node.source or name for node in layers if node.output.type.dtype is F32}
        wide |= {name} if name in kept and len(of_function) == len(layers) else of_function
    assert wide == kept


@pytest.mark.parametrize("name", ["va", "vae.encode", "net/blocks.2", "net.unet/block", "", "main", "net/"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(PassError, match=r"known are net, net\.unet, vae, vae\.decode"):
        HalfPrecision((name,)).run(blocks())


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(PassError, match="use float16 or bfloat16"):
        HalfPrecision(dtype="float32").run(blocks())


def test_bfloat16_has_the_range_of_float32() -> None:
    def build(b: GraphBuilder, x: Value) -> Value:
        return linear(b, b.add("mul", linear(b, x), b.constant(np.float32(1e6))))

    module = network(build, x=f32(1, 4))
    feeds: Mapping[str, np.ndarray] = {"x": np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)}
    found = run(convert(module, dtype="bfloat16").module, feeds)["out"]
    np.testing.assert_allclose(found, [[1e6, 2e6, 3e6, 4e6]], rtol=2.0**-7)  # two roundings of 2^-9 and that of 1e6
    assert not np.isfinite(run(convert(module).module, feeds)["out"]).any()
