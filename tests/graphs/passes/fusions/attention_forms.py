"""Attention written out in the ways that networks do: where the scale is, how heads are split, what is transposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module, Value
from coopdraw.graphs.types import DType, TensorType

SCALES = ("none", "mul", "mul first", "div", "query", "key", "both", "scores and query", "before the split")
MASKS = ("none", "full", "batch", "heads", "queries and keys", "keys")
KEYS = ("flag", "swapped", "split transposed", "product transposed")
RESULTS = ("plain", "value first", "value first, swapped")
CASTS = ("none", "softmax", "scores", "all")


@dataclass(frozen=True)
class Form:
    """(batch, length, heads * width) inputs, split to heads, attention, and joined again unless the result is swapped.

    `rank` is that of the products' operands: 3 with batch and heads merged, 4, or 5 with another axis before them.
    Scales are numbers that float16 has.
    """

    batch: int = 2
    heads: int = 3
    queries: int = 5
    keys: int = 7
    width: int = 4
    value_width: int = 6
    rank: int = 4
    scale: str = "mul"
    mask: str = "none"
    key: str = "flag"
    result: str = "plain"
    cast: str = "none"
    dtype: DType = DType.FLOAT32

    @property
    def leading(self) -> tuple[int, ...]:
        return {
            3: (self.batch * self.heads,),
            4: (self.batch, self.heads),
            5: (1, self.batch, self.heads),
        }[self.rank]

    def inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Normal numbers; a mask of zeros and of numbers that nearly take a key away."""
        random = np.random.default_rng(seed)
        shapes = {
            "query": (self.batch, self.queries, self.heads * self.width),
            "key": (self.batch, self.keys, self.heads * self.width),
            "value": (self.batch, self.keys, self.heads * self.value_width),
        }
        arrays = {name: random.standard_normal(shape).astype(self.dtype.numpy) for name, shape in shapes.items()}
        if self.mask != "none":
            kept = random.random(self.mask_shape()) < 0.7
            arrays["mask"] = np.where(kept, 0.0, -20.0).astype(self.dtype.numpy)
        return arrays

    def mask_shape(self) -> tuple[int, ...]:
        ends = (self.queries, self.keys)
        if self.mask == "full":
            return (*self.leading, *ends)
        if self.mask in ("batch", "heads") and self.rank == 4:
            return (self.batch, 1, *ends) if self.mask == "batch" else (1, self.heads, 1, self.keys)
        return (self.keys,) if self.mask == "keys" else (*[1] * len(self.leading), *ends)

    def module(self) -> Module:
        return _Writer(self).module()


class _Writer:
    def __init__(self, form: Form) -> None:
        self.form = form
        self.builder = GraphBuilder("main")
        self.builder.source = "block.attn"

    def module(self) -> Module:
        form = self.form
        arrays = form.inputs()
        values = {name: self.builder.input(name, TensorType.of(array)) for name, array in arrays.items()}
        query, key, value = (values[name] for name in ("query", "key", "value"))
        if form.scale == "before the split":
            query = self.scaled(query, 0.5)
        wide = form.cast in ("scores", "all")
        query, key = (self.cast(x) if wide else x for x in (self.split(query), self.split_key(key)))
        value = self.cast(self.split(value)) if form.cast == "all" else self.split(value)
        scores = self.scores(query, key)
        if form.cast == "softmax":
            scores = self.cast(scores)
        if "mask" in values:
            mask = values["mask"]
            scores = self.builder.add("add", scores, mask if scores.type.dtype is mask.type.dtype else self.cast(mask))
        weights = self.builder.add("softmax", scores, axis=form.rank - 1)
        if form.cast in ("softmax", "scores"):
            weights = self.builder.add("cast", weights, dtype=form.dtype.value)
        return Module(self.builder.build([self.result(weights, value)], ["result"]))

    def cast(self, x: Value) -> Value:
        return self.builder.add("cast", x, dtype="float32")

    def scaled(self, x: Value, factor: float, operator: str = "mul", first: bool = False) -> Value:
        constant = self.builder.constant(np.asarray(factor, x.type.dtype.numpy))
        return self.builder.add(operator, *((constant, x) if first else (x, constant)))

    def swapped(self, x: Value) -> Value:
        rank = len(x.type.shape)
        return self.builder.add("transpose", x, permutation=(*range(rank - 2), rank - 1, rank - 2))

    def reshaped(self, x: Value, shape: tuple[int, ...]) -> Value:
        return x if x.type.shape == shape else self.builder.add("reshape", x, shape=shape)

    def split(self, x: Value, permutation: tuple[int, ...] = (0, 2, 1, 3)) -> Value:
        batch, length, columns = x.type.shape
        parts = self.builder.add("reshape", x, shape=(batch, length, self.form.heads, columns // self.form.heads))
        heads = self.builder.add("transpose", parts, permutation=permutation)
        return self.reshaped(heads, (*self.form.leading, *heads.type.shape[2:]))

    def split_key(self, x: Value) -> Value:
        return self.split(x, (0, 2, 3, 1)) if self.form.key == "split transposed" else self.split(x)

    def scores(self, query: Value, key: Value) -> Value:
        scale, form = self.form.scale, self.form.key
        if scale in ("query", "both", "scores and query"):
            query = self.scaled(query, 0.625)
        if form == "swapped":
            key = self.swapped(key)
        if scale in ("key", "both"):
            key = self.scaled(key, 0.75)
        if form == "product transposed":
            query = self.swapped(query)
        flags = {"transpose_a": form == "product transposed", "transpose_b": form in ("flag", "product transposed")}
        scores = self.builder.add("matmul", query, key, **flags)
        if scale in ("mul", "mul first", "scores and query"):
            return self.scaled(scores, 0.5, first=scale == "mul first")
        return self.scaled(scores, 2.0, "div") if scale == "div" else scores

    def result(self, weights: Value, value: Value) -> Value:
        if self.form.result == "plain":
            return self.joined(self.builder.add("matmul", weights, value, transpose_a=False, transpose_b=False))
        if self.form.result == "value first":
            return self.builder.add("matmul", value, weights, transpose_a=True, transpose_b=True)
        value, weights = self.swapped(value), self.swapped(weights)
        return self.builder.add("matmul", value, weights, transpose_a=False, transpose_b=False)

    def joined(self, x: Value) -> Value:
        form = self.form
        heads = self.reshaped(x, (form.batch, form.heads, form.queries, form.value_width))
        parts = self.builder.add("transpose", heads, permutation=(0, 2, 1, 3))
        return self.builder.add("reshape", parts, shape=(form.batch, form.queries, form.heads * form.value_width))


def forms(dtype: DType = DType.FLOAT32) -> st.SearchStrategy[Form]:
    """Any combination; casts to float32 only where they are casts."""
    return st.builds(
        Form,
        batch=st.integers(1, 2),
        heads=st.integers(1, 3),
        queries=st.integers(1, 5),
        keys=st.integers(1, 5),
        width=st.integers(1, 4),
        value_width=st.integers(1, 4),
        rank=st.sampled_from([3, 4, 5]),
        scale=st.sampled_from(SCALES),
        mask=st.sampled_from(MASKS),
        key=st.sampled_from(KEYS),
        result=st.sampled_from(RESULTS),
        cast=st.just("none") if dtype is DType.FLOAT32 else st.sampled_from(CASTS),
        dtype=st.just(dtype),
    )


class Drawing:
    """A builder with three inputs (1, 2, 4, 3) and the usual products."""

    def __init__(self, dtype: DType = DType.FLOAT32, key_shape: tuple[int, ...] = (1, 2, 4, 3)) -> None:
        self.builder = GraphBuilder("main")
        self.builder.source = "block.attn"
        shape = (1, 2, 4, 3)
        self.query = self.builder.input("query", TensorType(dtype, shape))
        self.key = self.builder.input("key", TensorType(dtype, key_shape))
        self.value = self.builder.input("value", TensorType(dtype, shape))

    def add(self, operator: str, *inputs: Value, **attributes: object) -> Value:
        return self.builder.add(operator, *inputs, **attributes)  # type: ignore[arg-type]

    def constant(self, number: float | np.ndarray, dtype: str = "float32") -> Value:
        return self.builder.constant(np.asarray(number, dtype))

    def input(self, name: str, *shape: int, dtype: DType = DType.FLOAT32) -> Value:
        return self.builder.input(name, TensorType(dtype, shape))

    def scores(self) -> Value:
        return self.add("matmul", self.query, self.key, transpose_a=False, transpose_b=True)

    def weights(self, scores: Value | None = None, axis: int = 3) -> Value:
        return self.add("softmax", scores or self.scores(), axis=axis)

    def mixed(self, weights: Value, value: Value | None = None, **flags: bool) -> Value:
        flags = {"transpose_a": False, "transpose_b": False, **flags}
        return self.add("matmul", weights, value or self.value, **flags)
