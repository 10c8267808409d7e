"""How the Ascend kernel of linear_combination divides its work: every core has a contiguous part of all tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.capacity import BLOCK_BYTES, COPY_BYTES, ceil_div, round_up
from coopdraw.kernels.ascend.tiling import CType, Int32, Int64, Launch, Tiling
from coopdraw.kernels.simulator.soc import Soc

MOST_INPUTS = 8
TILE_BYTES = 16384
"""Bytes of a tile of one tensor."""


@dataclass(frozen=True)
class LinearCombinationProblem:
    """So many elements of `itemsize` bytes in each tensor, and a weight for each tensor."""

    elements: int
    itemsize: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class LinearCombinationTiling(Tiling):
    """`total` elements, of which a core has `share`, `tile` at once; the first `count` weights are used."""

    total: Int64
    share: Int64
    tile: Int32
    count: Int32
    weights: Annotated[tuple[float, ...], CType("float", MOST_INPUTS)]


def problem(node: Node) -> LinearCombinationProblem:
    """What the tiling depends on."""
    x = node.inputs[0].type
    weights = tuple(float(weight) for weight in node.attributes["weights"])  # type: ignore[union-attr]
    return LinearCombinationProblem(x.size, x.dtype.itemsize, weights)


def limits(node: Node, soc: Soc) -> str | None:
    """Why the kernel can't compute the node on the SoC, as a clause; None if it can."""
    x = node.inputs[0]
    if len(node.inputs) > MOST_INPUTS:
        return f"there are {len(node.inputs)} operands, but the Ascend kernel takes at most {MOST_INPUTS}"
    if x.type.size == 0:
        return f"%{x.name} is {x.type}, which has no elements"
    if soc.coupled and x.type.nbytes % BLOCK_BYTES:
        return (
            f"{soc.name} copies multiples of {BLOCK_BYTES} bytes only, but %{x.name}, which is {x.type}, "
            f"has {x.type.nbytes}"
        )
    return None


def launch(shape: LinearCombinationProblem, soc: Soc) -> Launch:
    """How to start the kernel for a problem that `limits` has no reason against."""
    share = round_up(ceil_div(shape.elements, soc.vector_cores), COPY_BYTES // shape.itemsize)
    tile = TILE_BYTES // shape.itemsize
    tiling = LinearCombinationTiling(
        total=shape.elements,
        share=share,
        tile=tile,
        count=len(shape.weights),
        weights=shape.weights + (0.0,) * (MOST_INPUTS - len(shape.weights)),
    )
    return Launch(
        tiling=tiling,
        cores=ceil_div(shape.elements, share),
        key=1,
        workspace_bytes=0,
        memory={"ub": 2 * 2 * TILE_BYTES + 2 * tile * 4},  # two queues of two tiles, sum and operand in float32
    )
