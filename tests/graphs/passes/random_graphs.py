"""Random small modules: an entry, functions that call each other, weights and constants, inputs to run them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.ops.checks import broadcast
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight

T = TypeVar("T")

SHAPES = ((), (1,), (3,), (2, 3), (2, 1), (1, 2, 3))
UNARY = ("neg", "abs", "relu", "sin", "sigmoid", "identity", "round")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
STEPS = ("unary", "binary", "constant", "weight", "axes", "shape", "several", "select", "half", "call")
WEIGHTS = {
    f"w{index}": (np.arange(6, dtype=np.float32).reshape(shape) - 2.5) for index, shape in enumerate([(2, 3), (6,)])
}


@dataclass
class _Writer:
    """Adds random nodes to one graph; `values` are those that the next node may read, all of them float32."""

    draw: st.DrawFn
    builder: GraphBuilder
    functions: list[Graph]
    values: list[Value]

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def coin(self) -> bool:
        return self.draw(st.booleans())

    def any_value(self) -> Value:
        return self.pick(self.values)

    def constant(self, shape: tuple[int, ...] | None = None) -> Value:
        """Few different values, so that neutral and equal ones are common."""
        shape = self.pick(SHAPES) if shape is None else shape
        number = self.pick([0.0, -0.0, 1.0, 0.5, -2.0])
        return self.builder.constant(np.full(shape, number, np.float32))

    def fitting(self, type: TensorType) -> Value:
        """A value of exactly that type: one that is there, or a new constant."""
        there = [value for value in self.values if value.type == type]
        if there and self.coin():
            return self.pick(there)
        return self.constant(type.shape)

    def step(self) -> None:
        kind = self.pick(STEPS)
        self.values += getattr(self, f"_{kind}")()

    def _unary(self) -> list[Value]:
        return [self.builder.add(self.pick(UNARY), self.any_value())]

    def _binary(self) -> list[Value]:
        first = self.any_value()
        fits = [value for value in self.values if _broadcasts(first, value)]
        operands = [first, self.pick(fits) if self.coin() else self.constant(())]
        return [self.builder.add(self.pick(BINARY), *self.draw(st.permutations(operands)))]

    def _constant(self) -> list[Value]:
        return [self.constant()]

    def _weight(self) -> list[Value]:
        name = self.pick(sorted(WEIGHTS))
        return [self.builder.weight(name, TensorType.of(WEIGHTS[name]))]

    def _axes(self) -> list[Value]:
        x = self.any_value()
        rank = len(x.type.shape)
        if rank == 0 or self.coin():
            permutation = tuple(self.draw(st.permutations(range(rank))))
            return [self.builder.add("transpose", x, permutation=permutation)]
        axis = self.draw(st.integers(0, rank - 1))
        return [self.builder.add("reduce_sum", x, axes=(axis,), keepdims=self.coin())]

    def _shape(self) -> list[Value]:
        x = self.any_value()
        shape = x.type.shape
        zeros, ones = (0,) * len(shape), (1,) * len(shape)
        choice = self.draw(st.integers(0, 4))
        if choice == 0:
            flat = x.type.size
            return [self.builder.add("reshape", x, shape=self.pick([shape, (1, flat), (flat,)]))]
        if choice == 1:
            wide = (2, *shape) if len(shape) < 3 else shape
            return [self.builder.add("broadcast_to", x, shape=self.pick([shape, wide]))]
        if choice == 2:
            return [self.builder.add("tile", x, repeats=ones)]
        if choice == 3:
            return [self.builder.add("pad", x, before=zeros, after=zeros, value=0.0)]
        end = tuple(self.draw(st.integers(1, extent)) for extent in shape)
        return [self.builder.add("slice", x, begin=zeros, end=end, stride=ones)]

    def _several(self) -> list[Value]:
        x = self.any_value()
        extent = x.type.shape[0] if x.type.shape else 0
        if extent < 2:
            return [self.builder.add("concat", x, axis=0)] if x.type.shape else []
        sizes: tuple[int, ...] = (extent,) if self.coin() else (1, extent - 1)
        return list(self.builder.add_many("split", x, axis=0, sizes=sizes))

    def _select(self) -> list[Value]:
        x = self.any_value()
        condition = self.builder.constant(np.full(x.type.shape, self.coin()))
        return [self.builder.add("select", condition, x, self.fitting(x.type))]

    def _half(self) -> list[Value]:
        narrow = self.builder.add("cast", self.any_value(), dtype="float16")
        doubled = self.builder.add("add", narrow, narrow)
        return [self.builder.add("cast", doubled, dtype="float32")]

    def _call(self) -> list[Value]:
        if not self.functions:
            return []
        function = self.pick(self.functions)
        return list(self.builder.call(function, *(self.fitting(value.type) for value in function.inputs)))


def _broadcasts(a: Value, b: Value) -> bool:
    try:
        broadcast(a.type.shape, b.type.shape)
    except GraphError:
        return False
    return True


@st.composite
def graphs(draw: st.DrawFn, name: str, functions: list[Graph]) -> Graph:
    """A graph with one to three inputs and outputs that may call `functions`."""
    builder = GraphBuilder(name)
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    inputs = [builder.input(f"x{index}", TensorType(DType.FLOAT32, shape)) for index, shape in enumerate(shapes)]
    writer = _Writer(draw, builder, functions, list(inputs))
    for _ in range(draw(st.integers(1, 8))):
        writer.step()
    outputs = draw(st.lists(st.sampled_from(writer.values), min_size=1, max_size=3))
    return builder.build(outputs, [f"y{index}" for index in range(len(outputs))])


@st.composite
def modules(draw: st.DrawFn) -> Module:
    """A valid module; every weight is named at least in `weights`, not every function is called."""
    functions: list[Graph] = []
    for index in range(draw(st.integers(0, 3))):
        functions.append(draw(graphs(f"f{index}", functions)))
    entry = draw(graphs("main", functions))
    weights = {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    return Module(entry, {graph.name: graph for graph in functions}, weights)


def random_inputs(module: Module, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal numbers with some zeros of both signs, for the entry."""
    random = np.random.default_rng(seed)
    inputs = {}
    for value in module.entry.inputs:
        array = np.asarray(random.standard_normal(value.type.shape), dtype=np.float32)
        signs = np.asarray(random.integers(0, 4, value.type.shape))
        inputs[value.name] = np.select([signs == 0, signs == 1], [np.float32(0.0), np.float32(-0.0)], array)
    return {name: array.astype(np.float32) for name, array in inputs.items()}


def run(module: Module, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The entry's outputs; `inputs` may name more than the entry still has."""
    return interpreter.run(module, {value.name: inputs[value.name] for value in module.entry.inputs})


def assert_same_bits(actual: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """Equal names, dtypes, shapes and values, signs of zeros included; a NaN equals a NaN."""
    assert list(actual) == list(wanted)
    for name, array in wanted.items():
        assert actual[name].dtype == array.dtype, name
        # NumPy knows NaNs of bfloat16 only after widening, which is exact
        found, array = actual[name].astype(np.float64), array.astype(np.float64)
        np.testing.assert_array_equal(found, array, err_msg=name)
        numbers = ~np.isnan(array)
        np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(array)[numbers], err_msg=name)
