"""Hypothesis strategies for the IR: small valid modules with everything the text form and the verifier must know.

Any test may import them as `from graphs.strategies import modules`: tests/conftest.py puts tests/ on the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight, Weight

DTYPES = st.sampled_from(list(DType))
SHAPES = st.lists(st.integers(1, 5), max_size=3).map(tuple)
TENSOR_TYPES = st.builds(TensorType, DTYPES, SHAPES)
NAMES = st.sampled_from(["x", "context.text", "a/b-1", "0", "odd name", 'q"\\', "é\n", "%", "return"]) | st.text(
    max_size=4
)
SOURCES = st.sampled_from(
    ["", "input_blocks.4.1.transformer_blocks.0.attn2", "Default/net-UNet/conv", "odd path", "a@b"]
)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Any bits of any type and shape: nans with payloads, denormals and infinities too."""
    type = draw(TENSOR_TYPES)
    if type.dtype is DType.BOOL:
        return draw(hnp.arrays(bool, type.shape))
    data = draw(st.binary(min_size=type.nbytes, max_size=type.nbytes) | st.just(bytes(type.nbytes)))
    return np.frombuffer(data, type.dtype.numpy).reshape(type.shape)


@st.composite
def modules(draw: st.DrawFn) -> Module:
    """An entry that calls up to two functions, with weights, constants and nodes of one and of several outputs."""
    names = draw(st.lists(NAMES, min_size=3, max_size=3, unique=True))
    weights = {name: ArrayWeight(array) for name, array in draw(st.dictionaries(NAMES, arrays(), max_size=2)).items()}
    functions: list[Graph] = []
    for name in names[: draw(st.integers(0, 2))]:
        functions.append(_graph(draw, name, weights, functions))
    entry = _graph(draw, names[2], weights, functions)
    return Module(entry, {function.name: function for function in functions}, weights)


def module_inputs(module: Module) -> dict[str, np.ndarray]:
    """Small numbers for each input of the entry."""
    random = np.random.default_rng(0)
    return {
        value.name: np.asarray(random.integers(0, 2, value.type.shape)).astype(value.type.dtype.numpy)
        for value in module.entry.inputs
    }


def _graph(draw: st.DrawFn, name: str, weights: Mapping[str, Weight], functions: Sequence[Graph]) -> Graph:
    builder = GraphBuilder(name)
    values = [builder.input(each, draw(TENSOR_TYPES)) for each in draw(st.lists(NAMES, max_size=3, unique=True))]
    values.append(builder.constant(draw(arrays())))
    for _ in range(draw(st.integers(0, 5))):
        builder.source = draw(SOURCES)
        values += _node(draw, builder, draw(st.sampled_from(values)), weights, functions)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    return builder.build(outputs, draw(st.lists(NAMES, min_size=len(outputs), max_size=len(outputs), unique=True)))


def _node(
    draw: st.DrawFn, builder: GraphBuilder, x: Value, weights: Mapping[str, Weight], functions: Sequence[Graph]
) -> Sequence[Value]:
    """One node that fits, mostly one that reads x."""
    name, shape = draw(NAMES), x.type.shape
    options = ["cast", "constant", "reshape", "softmax", "clamp", "equal", *["concat", "split"] * bool(shape)]
    kind = draw(st.sampled_from([*options, *["weight"] * bool(weights), *["call"] * bool(functions)]))
    if kind == "constant":
        return [builder.constant(draw(arrays()), name)]
    if kind == "weight":
        key = draw(st.sampled_from(sorted(weights)))
        return [builder.weight(key, weights[key].type)]
    if kind == "call":
        function = draw(st.sampled_from(functions))
        zeros = [builder.constant(np.zeros(each.type.shape, each.type.dtype.numpy)) for each in function.inputs]
        return builder.call(function, *zeros)
    if kind == "split":
        return builder.add_many("split", builder.add("concat", x, x, axis=0), axis=0, sizes=(shape[0], shape[0]))
    if kind in ("softmax", "clamp"):
        x = builder.add("cast", x, dtype="float32")
        if kind == "softmax" and shape:
            return [builder.add("softmax", x, name=name, axis=len(shape) - 1)]
        return [builder.add("clamp", x, name=name, minimum=draw(st.none() | st.floats()), maximum=None)]
    attributes: dict[str, dict[str, Any]] = {
        "cast": {"dtype": draw(DTYPES).value},
        "reshape": {"shape": (1, *shape)},
        "concat": {"axis": 0},
    }
    return [builder.add(kind, *[x] * (1 + (kind in ("equal", "concat"))), name=name, **attributes.get(kind, {}))]
