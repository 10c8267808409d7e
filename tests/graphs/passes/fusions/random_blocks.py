"""Random graphs of what residual and transformer blocks are made of, so that fusions meet, overlap and just miss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from graphs.passes.fusions.equivalence import random_weights
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.types import DType, TensorType

T = TypeVar("T")

IMAGE, ROWS, VECTOR = (2, 4, 2, 4), (2, 4), (4,)
EPSILON = 0.1
WEIGHTS = {
    name: TensorType(DType.FLOAT32, shape)
    for name, shape in (
        ("a", VECTOR),
        ("b", VECTOR),
        ("row", (1, 4, 1, 1)),
        ("square", (4, 4)),
        ("wide", (8, 4)),
        ("double", (8,)),
    )
}
STEPS = (
    *("norm_block",) * 4,
    "group_norm",
    "written_group_norm",
    "layer_norm",
    "written_layer_norm",
    "sum",
    "sum",
    "embedding",
    "modulation",
    "silu",
    "sigmoid",
    "gate",
    "geglu",
    "gelu",
    "linear",
    "matmul",
    "bias",
    "pool",
)


class _Writer:
    """Adds random nodes; `images` all have one shape, `rows` are one number per sample and channel of one."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.builder = GraphBuilder("main")
        self.images = [self._input(f"x{index}", IMAGE) for index in range(2)]
        self.rows = [self._input(f"row{index}", ROWS) for index in range(2)]

    def _input(self, name: str, shape: tuple[int, ...]) -> Value:
        return self.builder.input(name, TensorType(DType.FLOAT32, shape))

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def image(self) -> Value:
        """Mostly the last one, so that chains get long."""
        return self.images[-1] if self.draw(st.integers(0, 3)) else self.pick(self.images)

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def commuted(self, operator: str, *inputs: Value) -> Value:
        return self.add(operator, *self.draw(st.permutations(inputs)))

    def number(self, number: float) -> Value:
        return self.builder.constant(np.float32(number))

    def weight(self, name: str) -> Value:
        return self.builder.weight(name, WEIGHTS[name])

    def spread(self) -> Value:
        return self.add("reshape", self.pick(self.rows), shape=(*ROWS, 1, 1))

    def step(self) -> None:
        getattr(self, f"_{self.pick(STEPS)}")()

    def _norm_block(self) -> None:
        """What a fused norm computes; parts of it may be missing, and the sum may be read again at the end."""
        start = self.images[-1]
        for kinds in (("sum", "embedding"), ("group_norm", "layer_norm"), ("modulation",), ("silu", "sigmoid")):
            if self.draw(st.integers(0, 3)):
                getattr(self, f"_{self.pick(kinds)}")()
            if kinds[0] == "sum":
                start = self.images[-1]
                self._pool_of(start)
        if self.draw(st.booleans()):
            self.images.append(self.commuted("add", start, self.images[-1]))

    def _group_norm(self) -> None:
        attributes = {"groups": self.pick([1, 2, 4]), "epsilon": EPSILON}
        self.images.append(self.add("group_norm", self.image(), self.weight("a"), self.weight("b"), **attributes))

    def _layer_norm(self) -> None:
        norm = self.add("layer_norm", self.image(), self.weight("a"), self.weight("b"), epsilon=EPSILON)
        self.images.append(norm)

    def _standardised(self, x: Value, axes: tuple[int, ...]) -> Value:
        centred = self.add("sub", x, self.add("reduce_mean", x, axes=axes, keepdims=True))
        variance = self.add("reduce_mean", self.add("square", centred), axes=axes, keepdims=True)
        return self.add("div", centred, self.add("sqrt", self.add("add", variance, self.number(EPSILON))))

    def _written_group_norm(self) -> None:
        x = self.add("reshape", self.image(), shape=self.pick([(2, 2, 16), (2, 4, 8), (4, 2, 8)]))
        self.images.append(self.add("reshape", self._standardised(x, (2,)), shape=IMAGE))

    def _written_layer_norm(self) -> None:
        self.images.append(self._standardised(self.image(), self.pick([(3,), (2, 3), (1,)])))

    def _sum(self) -> None:
        self.images.append(self.add("add", self.image(), self.image()))

    def _embedding(self) -> None:
        self.images.append(self.commuted("add", self.image(), self.spread()))

    def _modulation(self) -> None:
        y, scale = self.image(), self.spread()
        if self.draw(st.booleans()):
            scaled = self.commuted("mul", y, self.commuted("add", scale, self.number(1.0)))
        else:
            scaled = self.commuted("add", self.commuted("mul", y, scale), y)
        self.images.append(scaled)
        self.images.append(self.commuted("add", scaled, self.spread()))

    def _silu(self) -> None:
        self.images.append(self.add("silu", self.image()))

    def _sigmoid(self) -> None:
        x = self.image()
        gate = self.add("sigmoid", x)
        self.images += [gate, self.commuted("mul", x, gate)]

    def _gate(self) -> None:
        self.images.append(self.commuted("mul", self.image(), self.add("tanh", self.image())))

    def _wide(self) -> Value:
        bias = [self.weight("double")] if self.draw(st.booleans()) else []
        return self.add("linear", self.image(), self.weight("wide"), *bias)

    def _geglu(self) -> None:
        first, second = self.builder.add_many("split", self._wide(), axis=3, sizes=(4, 4))
        value, gate = self.draw(st.permutations([first, second]))
        self.images.append(self.commuted("mul", value, self.add("gelu", gate, approximate=self.pick(["none", "tanh"]))))

    def _gelu(self) -> None:
        x = self.image()
        bell = self.commuted("add", self.add("erf", self.add("div", x, self.number(2**0.5))), self.number(1.0))
        self.images.append(self.commuted("mul", self.commuted("mul", x, bell), self.number(0.5)))

    def _linear(self) -> None:
        self.images.append(self.add("linear", self.image(), self.weight("square")))

    def _matmul(self) -> None:
        product = self.add("matmul", self.image(), self.weight("square"), transpose_a=False, transpose_b=True)
        self.images.append(product)

    def _bias(self) -> None:
        self.images.append(self.commuted("add", self.image(), self.weight(self.pick(["a", "b", "row"]))))

    def _pool(self) -> None:
        self._pool_of(self.image())

    def _pool_of(self, x: Value) -> None:
        """Rows that depend on an image: what a norm is modulated with may need the norm."""
        self.rows.append(self.add("reduce_mean", x, axes=(2, 3), keepdims=False))


@st.composite
def blocks(draw: st.DrawFn) -> Module:
    """A valid module; what isn't returned and not used is dead."""
    writer = _Writer(draw)
    for _ in range(draw(st.integers(2, 10))):
        writer.step()
    results = [*writer.images[2:], *writer.rows[2:]] or writer.images
    outputs = [results[-1], *draw(st.lists(st.sampled_from(results), max_size=2))]
    graph = writer.builder.build(outputs, [f"y{index}" for index in range(len(outputs))])
    return Module(graph, {}, random_weights(WEIGHTS))
