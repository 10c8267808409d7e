"""Operators that move or copy elements."""

from __future__ import annotations

import numpy as np

from coopdraw.graphs.mindir.lite.emission import LiteEmitter, lite_rule


@lite_rule("constant")
def constant(emitter: LiteEmitter) -> list[str]:
    value = np.asarray(emitter.node.attributes["value"])
    return [emitter.constant(value.reshape(emitter.result.shape))]


@lite_rule("reshape")
def reshape(emitter: LiteEmitter) -> list[str]:
    return [emitter.reshape(emitter.inputs[0], emitter.result.shape)]


@lite_rule("broadcast_to")
def broadcast_to(emitter: LiteEmitter) -> list[str]:
    return [emitter.add("BroadcastTo", *emitter.inputs, shape=emitter.result.shape)]


@lite_rule("transpose")
def transpose(emitter: LiteEmitter) -> list[str]:
    return [emitter.transpose(emitter.inputs[0], emitter.integers("permutation"), emitter.result)]


@lite_rule("tile")
def tile(emitter: LiteEmitter) -> list[str]:
    return [emitter.add("Tile", *emitter.inputs, emitter.constant(emitter.integers("repeats")))]


@lite_rule("concat")
def concat(emitter: LiteEmitter) -> list[str]:
    if len(emitter.inputs) == 1:
        return list(emitter.inputs)
    return [emitter.add("Concat", *emitter.inputs, axis=emitter.integer("axis"))]


@lite_rule("split")
def split(emitter: LiteEmitter) -> list[str]:
    sizes, outputs = emitter.integers("sizes"), emitter.node.outputs
    if len(sizes) == 1:
        return list(emitter.inputs)
    types = [value.type for value in outputs]
    axis = emitter.integer("axis")
    whole = emitter.add_tuple(
        "Split", *emitter.inputs, types=types, axis=axis, output_num=len(sizes), size_splits=sizes
    )
    return [emitter.item(whole, index, type) for index, type in enumerate(types)]


@lite_rule("slice")
def slice_(emitter: LiteEmitter) -> list[str]:
    bounds = [emitter.constant(emitter.integers(name)) for name in ("begin", "end", "stride")]
    return [
        emitter.add(
            "StridedSlice",
            *emitter.inputs,
            *bounds,
            begin_mask=0,
            end_mask=0,
            ellipsis_mask=0,
            new_axis_mask=0,
            shrink_axis_mask=0,
        )
    ]


@lite_rule("pad")
def pad(emitter: LiteEmitter) -> list[str]:
    pairs = zip(emitter.integers("before"), emitter.integers("after"), strict=True)
    paddings = emitter.constant(np.asarray([list(pair) for pair in pairs], np.int32))
    value = emitter.number("value")
    return [emitter.add("PadFusion", *emitter.inputs, paddings, padding_mode=0, constant_value=value)]
