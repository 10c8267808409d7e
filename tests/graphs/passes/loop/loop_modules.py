"""Random modules shaped like an unrolled loop, and random stacks of layers with constants beside them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from graphs.passes.random_graphs import WEIGHTS, graphs
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, Weight

EXACT_FACTORS = (0.5, 2.0, -1.0, 4.0)
"""Powers of two: multiplying and dividing by them is exact."""


@st.composite
def loops(draw: st.DrawFn) -> Module:
    """An entry that calls a function several times, some arguments always the same, some from a few, some always new.

    The function may call others, and the calls may go through a function of their own.
    """
    functions: list[Graph] = []
    for index in range(draw(st.integers(1, 2))):
        functions.append(draw(graphs(f"f{index}", functions)))
    body = functions[-1]
    if draw(st.booleans()):
        functions.append(_calling(draw, "wrapper", body, draw(st.integers(1, 2))))
    entry = _calling(draw, "main", functions[-1], draw(st.integers(2, 4)))
    weights = {name: ArrayWeight(array) for name, array in WEIGHTS.items()}
    return Module(entry, {graph.name: graph for graph in functions}, weights)


def _calling(draw: st.DrawFn, name: str, function: Graph, times: int) -> Graph:
    """A graph that calls a function some times; its inputs are what the calls share."""
    builder = GraphBuilder(name)
    choices: list[list[Value]] = []
    for index, value in enumerate(function.inputs):
        distinct = draw(st.integers(1, 2))
        choices.append([builder.input(f"x{index}_{count}", value.type) for count in range(distinct)])
    results: list[Value] = []
    for _ in range(times):
        arguments = []
        for options in choices:
            carried = [value for value in results if value.type == options[0].type]
            arguments.append(draw(st.sampled_from([*options, *carried[-1:]])))
        results += builder.call(function, *arguments)
    outputs = draw(st.lists(st.sampled_from(results), min_size=1, max_size=3, unique=True))
    return builder.build(outputs, [f"y{index}" for index in range(len(outputs))])


@st.composite
def layered(draw: st.DrawFn) -> Module:
    """Linear layers and convolutions with small whole numbers, and constants that are whole or powers of two.

    In float64 every result is exact in any order: a layer adds at most 72 products of 2 and an input, so seven nodes
    make numbers of less than 47 bits.
    """
    builder = GraphBuilder("main")
    weights: dict[str, Weight] = {}
    values = [builder.input("x", TensorType(DType.FLOAT64, (2, 4)))]
    images = [builder.input("image", TensorType(DType.FLOAT64, (1, 4, 3, 3)))]
    for _ in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(["linear", "several", "conv2d", "beside", "beside", "relu"]))
        chosen = values if kind in ("linear", "several") else images if kind == "conv2d" else None
        chosen = chosen or draw(st.sampled_from([values, images]))
        x = draw(st.sampled_from([chosen[-1], chosen[-1], chosen[-1], chosen[0]]))
        if kind == "beside":
            chosen.append(_beside(draw, builder, x))
        elif kind == "relu":
            chosen.append(builder.add("relu", x))
        elif kind == "several":
            branches = [_layer(draw, builder, "linear", x, weights) for _ in range(draw(st.integers(2, 3)))]
            chosen.append(builder.add("maximum", *branches[-2:]))
        else:
            chosen.append(_layer(draw, builder, kind, x, weights))
    outputs = [values[-1], images[-1], *draw(st.lists(st.sampled_from([*values, *images]), max_size=1))]
    return Module(builder.build(outputs, [f"y{index}" for index in range(len(outputs))]), {}, weights)


def _layer(draw: st.DrawFn, builder: GraphBuilder, kind: str, x: Value, weights: dict[str, Weight]) -> Value:
    groups = draw(st.sampled_from([1, 2])) if kind == "conv2d" else 1
    kernel = draw(st.sampled_from([1, 3])) if kind == "conv2d" else 0
    shape = (4, 4 // groups, kernel, kernel) if kernel else (4, 4)
    operands = [_parameter(draw, builder, shape, weights)]
    if draw(st.booleans()):
        operands.append(_parameter(draw, builder, (4,), weights))
    if kind == "linear":
        return builder.add("linear", x, *operands)
    padding = (kernel // 2,) * 4
    return builder.add("conv2d", x, *operands, stride=(1, 1), padding=padding, dilation=(1, 1), groups=groups)


def _parameter(draw: st.DrawFn, builder: GraphBuilder, shape: tuple[int, ...], weights: dict[str, Weight]) -> Value:
    """A weight, a weight that is there already, or a constant."""
    fitting = [name for name, weight in weights.items() if weight.type.shape == shape]
    kind = draw(st.sampled_from(["weight", "weight", "weight", "weight", "again", "constant"]))
    if kind == "again" and fitting:
        name = draw(st.sampled_from(fitting))
        return builder.weight(name, weights[name].type)
    seed = draw(st.integers(0, 3))
    array = np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float64)
    if kind == "constant":
        return builder.constant(array)
    name = f"block.{len(weights)}.{'weight' if len(shape) > 1 else 'bias'}"
    weights[name] = ArrayWeight(array)
    return builder.weight(name, TensorType.of(array))


def _beside(draw: st.DrawFn, builder: GraphBuilder, x: Value) -> Value:
    """mul, div, add or sub with a constant: a scalar, one number per channel, or of x's own shape."""
    channels = (4, 1, 1) if len(x.type.shape) == 4 else (4,)
    shape = draw(st.sampled_from([(), (1,), channels, x.type.shape]))
    operator = draw(st.sampled_from(["mul", "div", "add", "sub"]))
    numbers = EXACT_FACTORS if operator in ("mul", "div") else (-2.0, 0.0, 1.0, 3.0)
    random = np.random.default_rng(draw(st.integers(0, 3)))
    constant = builder.constant(np.asarray(random.choice(numbers, shape), np.float64))
    first = operator == "div" or draw(st.booleans())
    return builder.add(operator, *([x, constant] if first else [constant, x]))


def integer_inputs(module: Module, seed: int = 0) -> Mapping[str, np.ndarray]:
    """Small whole numbers for the entry."""
    random = np.random.default_rng(seed)
    return {
        value.name: np.asarray(random.integers(-2, 3, value.type.shape)).astype(value.type.dtype.numpy)
        for value in module.entry.inputs
    }
