"""Group and layer normalisation, whose primitives also return mean and reciprocal deviation."""

from __future__ import annotations

from coopdraw.graphs.mindir.emission import NodeEmitter, rule
from coopdraw.graphs.types import TensorType


@rule("group_norm")
def group_norm(emitter: NodeEmitter) -> list[str]:
    x, gamma, beta = emitter.inputs
    groups = emitter.integer("groups")
    statistics = TensorType(emitter.result.dtype, (emitter.result.shape[0], groups))
    whole = emitter.add_tuple(
        "GroupNorm",
        x,
        emitter.constant(groups),
        gamma,
        beta,
        emitter.constant(emitter.number("epsilon")),
        types=(emitter.result, statistics, statistics),
    )
    return [emitter.item(whole, 0, emitter.result)]


@rule("layer_norm")
def layer_norm(emitter: NodeEmitter) -> list[str]:
    shape = emitter.result.shape
    begin = len(shape) - len(emitter.operands[1].type.shape)
    statistics = TensorType(emitter.result.dtype, shape[:begin] + (1,) * (len(shape) - begin))
    whole = emitter.add_tuple(
        "LayerNorm",
        *emitter.inputs,
        emitter.constant(begin),
        emitter.constant(begin),
        emitter.constant(emitter.number("epsilon")),
        types=(emitter.result, statistics, statistics),
    )
    return [emitter.item(whole, 0, emitter.result)]
