"""Steps that are alike become loops, and a program in loops computes what it did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs.onnx.running import graphs_of, operators_of, run, written
from graphs.passes.loop.loop_modules import loops
from graphs.passes.random_graphs import random_inputs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.onnx.form import PORTABLE
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight

X = TensorType(DType.FLOAT32, (2, 4))
# Sums of four products of numbers around 1, again and again, in another order.
TOLERANCE = 1e-4


def network(name: str) -> Graph:
    """x @ weight, plus t; the second output is x itself."""
    builder = GraphBuilder(name)
    x, t = builder.input("x", X), builder.input("t", TensorType(DType.FLOAT32, (1, 4)))
    y = builder.add("linear", x, builder.weight(f"{name}.weight", TensorType(DType.FLOAT32, (4, 4))))
    return builder.build([builder.add("tanh", builder.add("add", y, t)), x], ["y", "x"])


STRUCTURE, TEXTURE = network("structure"), network("texture")


class Program:
    """Steps as a sampler makes them: a scaled latent through a network, and a weighted sum of both."""

    def __init__(self) -> None:
        self.builder = GraphBuilder("main")
        self.latent = self.builder.input("noise", X)
        self.steps = 0

    def constant(self, *shape: int) -> Value:
        self.steps += 1
        return self.builder.constant(np.full(shape, 0.1 * self.steps, np.float32))

    def step(self, network: Graph = STRUCTURE) -> Value:
        scaled = self.builder.add("mul", self.latent, self.constant())
        predicted, _ = self.builder.call(network, scaled, self.constant(1, 4))
        weights = (1.0, -0.1 * self.steps)
        self.latent = self.builder.add("linear_combination", self.latent, predicted, weights=weights)
        return predicted

    def module(self, *others: Value) -> Module:
        outputs = [self.latent, *others]
        entry = self.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
        random = np.random.default_rng(0)
        weights = {
            f"{each.name}.weight": ArrayWeight(random.standard_normal((4, 4)).astype(np.float32))
            for each in (STRUCTURE, TEXTURE)
        }
        return Module(entry, {each.name: each for each in (STRUCTURE, TEXTURE)}, weights)


def check(module: Module, folder: Path) -> onnx.ModelProto:
    """The program gives what the interpreter does; returns the model."""
    feeds = {"noise": np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)}
    path = written(module, folder, PORTABLE)
    found = run(path, feeds)
    for name, array in interpreter.run(module, feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=TOLERANCE, atol=TOLERANCE)
    return onnx.load(str(path))


def calls(model: onnx.ModelProto) -> list[str]:
    """Functions that nodes outside of functions call."""
    return [name for name in operators_of(model) if name in ("structure", "texture")]


def test_all_steps_of_a_network_are_one_loop(tmp_path: Path) -> None:
    program = Program()
    for _ in range(5):
        program.step()
    for _ in range(3):
        program.step(TEXTURE)
    model = check(program.module(), tmp_path)
    assert sorted(calls(model)) == ["structure", "texture"]
    assert operators_of(model).count("Scan") == 2


def test_a_weight_is_in_the_body_that_reads_it(tmp_path: Path) -> None:
    """ONNX Runtime prepares the weights of a convolution only in the graph that has them."""
    program = Program()
    for _ in range(3):
        program.step()
    outer, body = graphs_of(check(program.module(), tmp_path))
    assert [item.name for item in outer.initializer] == []
    assert [item.name for item in body.initializer] == ["structure.weight"]


def test_one_step_is_no_loop(tmp_path: Path) -> None:
    program = Program()
    program.step()
    program.step(TEXTURE)
    assert "Scan" not in operators_of(check(program.module(), tmp_path))


def test_steps_that_differ_stay_outside(tmp_path: Path) -> None:
    program = Program()
    program.step()
    program.latent = program.builder.add("relu", program.latent)
    for _ in range(3):
        program.step()
    program.latent = program.builder.add("tanh", program.latent)
    program.step()
    model = check(program.module(), tmp_path)
    assert operators_of(model).count("Scan") == 1
    assert len(calls(model)) == 3


def test_what_several_calls_share_does_not_make_the_first_step_special(tmp_path: Path) -> None:
    program = Program()
    builder = program.builder
    for index in range(4):
        if index == 0:
            shared = builder.add("reduce_mean", builder.add("exp", program.latent), axes=(0,), keepdims=True)
        predicted, _ = builder.call(STRUCTURE, program.latent, shared)
        program.latent = builder.add("mul", predicted, program.constant())
    model = check(program.module(), tmp_path)
    assert calls(model) == ["structure"]


def test_a_result_of_the_last_step_leaves_the_loop(tmp_path: Path) -> None:
    program = Program()
    predictions = [program.step() for _ in range(4)]
    model = check(program.module(predictions[-1]), tmp_path)
    assert calls(model) == ["structure"]


def test_a_result_of_an_earlier_step_ends_the_loop_there(tmp_path: Path) -> None:
    program = Program()
    predictions = [program.step() for _ in range(5)]
    assert len(calls(check(program.module(predictions[2]), tmp_path))) in (2, 3)


def test_states_of_two_steps_ago_are_carried_only_from_the_last(tmp_path: Path) -> None:
    """A multistep sampler: each sum has the prediction of the step before it."""
    program = Program()
    builder = program.builder
    before = program.step()
    for _ in range(4):
        program.latent = builder.add("add", program.latent, before)
        before = program.step()
    model = check(program.module(), tmp_path)
    assert "Scan" in operators_of(model)
    assert len(calls(model)) <= 2


def test_equal_constants_are_not_stacked(tmp_path: Path) -> None:
    program = Program()
    builder = program.builder
    same = builder.constant(np.full((1, 4), 0.5, np.float32))
    for _ in range(3):
        predicted, _ = builder.call(STRUCTURE, program.latent, same)
        program.latent = builder.add("mul", predicted, program.constant())
    model = check(program.module(), tmp_path)
    (scan,) = (node for node in model.graph.node if node.op_type == "Scan")
    assert len(scan.input) == 2


def test_without_loops_everything_lies_in_a_row(tmp_path: Path) -> None:
    program = Program()
    for _ in range(3):
        program.step()
    path = written(program.module(), tmp_path, replace(PORTABLE, loops=False))
    assert calls(onnx.load(str(path))) == ["structure"] * 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(module=loops())
def test_random_loops(module: Module, tmp_path_factory: pytest.TempPathFactory) -> None:
    operators = {node.operator for graph in module.graphs() for node in graph.nodes}
    assume(not operators & {"round", "cast", "floor", "ceil", "sign"})  # they turn a rounding into a jump
    feeds = random_inputs(module)
    found = run(written(module, tmp_path_factory.mktemp("loop"), PORTABLE), feeds)
    for name, array in interpreter.run(module, feeds).items():
        scale = max(1.0, float(np.abs(array).max()))
        np.testing.assert_allclose(found[name], array, rtol=TOLERANCE, atol=TOLERANCE * scale)


@st.composite
def step_sequences(draw: st.DrawFn) -> Module:
    """Steps of two networks in any order, with something between some, and results of any step as outputs."""
    program = Program()
    predictions = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 4)) == 0:
            program.latent = program.builder.add("tanh", program.latent)
        if predictions and draw(st.integers(0, 4)) == 0:
            program.latent = program.builder.add("add", program.latent, draw(st.sampled_from(predictions)))
        predictions.append(program.step(draw(st.sampled_from([STRUCTURE, STRUCTURE, STRUCTURE, TEXTURE]))))
    return program.module(*draw(st.lists(st.sampled_from(predictions), max_size=2, unique=True)))


@settings(max_examples=60)
@given(module=step_sequences())
def test_any_sequence_of_steps(module: Module, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(module, tmp_path_factory.mktemp("steps"))
