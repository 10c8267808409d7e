"""Fused operators as operators of ONNX Runtime's own domain, where its CPU has one that is faster than the parts.

SkipLayerNormalization, for one, is not: measured, it takes six times as long as Add and LayerNormalization.
SiLU, GELU with a bias, and convolutions with a sum need no rule: the runtime finds them in standard operators itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from coopdraw.graphs.onnx.emission import NodeEmitter, Scalar
from coopdraw.graphs.ops import Attributes
from coopdraw.graphs.ops.fused.attention import attention_extents
from coopdraw.graphs.types import DType, TensorType


@dataclass(frozen=True)
class RuntimeOperator:
    """A node of an operator of the domain com.microsoft that computes a fused operator.

    `inputs` are in its own order, empty where it leaves one out. `values` are those that the fused operator has, in the
    fused operator's order: places in `inputs`, and types. `meaning` are the fused operator's attributes for them.
    """

    op_type: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Scalar]
    values: tuple[tuple[int, TensorType], ...]
    meaning: Attributes


Place: TypeAlias = Callable[[RuntimeOperator], str]
"""Writes the node and returns its output."""


def attention(emitter: NodeEmitter, place: Place) -> list[str] | None:
    """MultiHeadAttention takes (B, S, heads * D), as which a single head can be seen. It doesn't keep the scores."""
    heads, shapes = emitter.integer("heads"), [value.type.shape for value in emitter.operands]
    split = emitter.text("layout") == "BNSD"
    if emitter.wide_dtype is not DType.FLOAT32 or (split and heads > 1):
        return None
    inputs = emitter.widened(emitter.inputs)
    if split:
        shapes[:3] = [(batch, length, width) for batch, _, length, width in shapes[:3]]
        inputs[:3] = [emitter.reshape(*pair) for pair in zip(inputs[:3], shapes[:3], strict=True)]
    if len(inputs) == 4:
        shapes[3] = _whole_mask(emitter)
        inputs[3:] = ["", "", emitter.add("Expand", inputs[3], emitter.shape(shapes[3]))]
    values = [(index, TensorType(DType.FLOAT32, shape)) for index, shape in zip(_PLACES, shapes, strict=False)]
    attributes = {"num_heads": heads, "scale": emitter.number("scale")}
    meaning = {**emitter.node.attributes, "layout": "BSH"}
    y = place(RuntimeOperator("MultiHeadAttention", tuple(inputs), attributes, tuple(values), meaning))
    return [emitter.narrowed(emitter.reshape(y, emitter.result.shape) if split else y)]


_PLACES = (0, 1, 2, 5)
"""Where MultiHeadAttention has query, key, value and mask."""


def _whole_mask(emitter: NodeEmitter) -> tuple[int, ...]:
    """(1 or B, 1 or heads, S, T): batch and heads may be 1, the lengths may not."""
    types = [value.type for value in emitter.operands]
    extents = attention_extents(types, emitter.node.attributes)
    lead = (1,) * (4 - len(types[3].shape)) + types[3].shape
    return *lead[:2], extents.queries, extents.keys


RULES: dict[str, Callable[[NodeEmitter, Place], list[str] | None]] = {"attention": attention}
"""By operator; a rule returns None for a node that has no such form."""
