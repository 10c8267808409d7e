"""What our Ascend kernels move and compute, from their tiling alone; tests compare it with the simulator's counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.capacity import BLOCK_BYTES, ceil_div, round_up
from coopdraw.kernels.ascend.catalogue import BY_OPERATOR
from coopdraw.kernels.ascend.tiling import Launch
from coopdraw.kernels.ascend.work import Work, even_share
from coopdraw.kernels.attention.tiling import AttentionProblem, AttentionTiling
from coopdraw.kernels.group_norm.tiling import SLOT_BYTES, WHOLE_GROUPS, GroupNormProblem, GroupNormTiling
from coopdraw.kernels.linear_combination.tiling import LinearCombinationProblem, LinearCombinationTiling
from coopdraw.kernels.simulator.soc import Soc

_FLOAT, _HALF = 4, 2
_FRACTAL = 16

# How often the kernels go through an element with a vector instruction, in float32; the simulator counts the same.
_NORM_PASSES, _SILU_PASSES, _ADD_CHANNEL_PASSES, _ADD_FULL_PASSES = 9, 4, 2, 5
_SCORE_PASSES, _PRODUCT_PASSES = 6, 8


def own_work(node: Node, soc: Soc) -> Work:
    """The work of our kernel for a node that it doesn't refuse."""
    kernel = BY_OPERATOR[node.operator]
    problem = kernel.problem(node)
    return _WORKS[kernel.folder](problem, kernel.launch(problem, soc), soc)


def _group_norm(shape: GroupNormProblem, launch: Launch, soc: Soc) -> Work:
    tiling = cast(GroupNormTiling, launch.tiling)
    streams = 1 + (shape.add == "full")
    plane = shape.elements * shape.itemsize
    # Statistics need all of x before any of it is normalised: what doesn't stay in the unified buffer is read again.
    measured = shape.group_elements if launch.key == WHOLE_GROUPS else min(tiling.share, shape.elements)
    if shape.plane * shape.itemsize % BLOCK_BYTES:
        tiles = ceil_div(measured, shape.plane) * ceil_div(shape.plane, tiling.tile)
    else:
        tiles = ceil_div(measured, tiling.tile)
    again = round(streams * plane * max(0.0, 1 - tiling.resident_tiles / tiles))
    groups = shape.batch * shape.groups
    parts = groups if launch.key == WHOLE_GROUPS else groups + launch.cores
    values = 2 + 2 * shape.modulated + 2 * (shape.add == "channel")
    parameters = parts * values * shape.group_channels * shape.itemsize
    statistics = 0 if launch.key == WHOLE_GROUPS else 2 * parts * SLOT_BYTES
    passes = _NORM_PASSES + _SILU_PASSES * shape.silu
    passes += _ADD_CHANNEL_PASSES * (shape.add == "channel") + _ADD_FULL_PASSES * (shape.add == "full")
    shared = launch.key != WHOLE_GROUPS
    return Work(
        first_bytes=plane * (streams + 1 + shape.keep_sum) + parameters,
        again_bytes=again + statistics,
        vector_bytes=shape.elements * passes * _FLOAT,
        busy=shape.elements / (tiling.share * soc.vector_cores) if shared else even_share(groups, soc.vector_cores),
    )


def _linear_combination(shape: LinearCombinationProblem, launch: Launch, soc: Soc) -> Work:
    tiling = cast(LinearCombinationTiling, launch.tiling)
    operands = len(shape.weights)
    return Work(
        first_bytes=(operands + 1) * shape.elements * shape.itemsize,
        vector_bytes=(2 * operands + 1) * shape.elements * _FLOAT,
        busy=shape.elements / (tiling.share * soc.vector_cores),
    )


def _attention(shape: AttentionProblem, launch: Launch, soc: Soc) -> Work:
    tiling = cast(AttentionTiling, launch.tiling)
    return attention_work(shape, tiling.rows, tiling.key_block, even_share(tiling.tasks, soc.vector_cores))


def attention_work(shape: AttentionProblem, rows: int, key_block: int, busy: float) -> Work:
    """Flash attention with blocks of `rows` queries and `key_block` keys; cube and vector units meet in memory.

    Scores and products go there and back in float32, weights in float16; keys and values are read for every block of
    queries, the queries for every block of keys.
    """
    heads = shape.batch * shape.heads
    queries = heads * shape.queries * shape.width * _HALF
    keys = heads * shape.keys * (shape.width + shape.value_width) * _HALF
    result = heads * shape.queries * shape.value_width * _HALF
    steps = ceil_div(shape.keys, key_block)
    lines = heads * shape.queries
    columns = round_up(shape.keys, _FRACTAL)
    products = lines * shape.value_width * steps
    exchanged = 2 * (lines * columns + products) * _FLOAT + lines * (columns + shape.keys) * _HALF
    return Work(
        first_bytes=queries + keys + result,
        again_bytes=exchanged + queries * (steps - 1) + keys * (ceil_div(shape.queries, rows) - 1),
        vector_bytes=(lines * columns * _SCORE_PASSES + products * _PRODUCT_PASSES) * _FLOAT,
        multiply_adds=lines * columns * (shape.width + shape.value_width),
        busy=busy,
    )


_WORKS: dict[str, Callable[..., Work]] = {
    "attention": _attention,
    "group_norm": _group_norm,
    "linear_combination": _linear_combination,
}
