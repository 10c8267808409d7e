"""How the Ascend kernel of the group norm family divides its work.

A core has a contiguous part of x. Where whole groups would leave cores idle (32 groups on 40 cores), parts end inside
groups: every core gives its statistics to the others through the workspace. The first tiles of what a core measures
stay in its unified buffer until it normalises them, so that they are read once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.group_norm import ACTIVATIONS, ADDS
from coopdraw.kernels.ascend.capacity import BLOCK_BYTES, COPY_BYTES, ceil_div, round_up, usable_ub_bytes
from coopdraw.kernels.ascend.tiling import Float32, Int32, Int64, Launch, Tiling
from coopdraw.kernels.simulator.soc import Soc

TILE_BYTES = (8192, 4096)
"""Sizes of a tile of x, the better one first."""

WHOLE_GROUPS, SHARED_GROUPS = 1, 2
"""Tiling keys: every group is one core's, or cores meet in groups and exchange statistics."""

SLOT_BYTES = 32
"""Statistics of one part of a group in the workspace: elements, mean, sum of squared deviations, unused."""


@dataclass(frozen=True)
class GroupNormProblem:
    """x is (batch, channels, ...) with `plane` elements a channel, each of `itemsize` bytes."""

    batch: int
    channels: int
    plane: int
    itemsize: int
    groups: int
    epsilon: float
    silu: bool
    add: str
    modulated: bool
    keep_sum: bool

    @property
    def group_channels(self) -> int:
        return self.channels // self.groups

    @property
    def group_elements(self) -> int:
        return self.group_channels * self.plane

    @property
    def elements(self) -> int:
        return self.batch * self.channels * self.plane


@dataclass(frozen=True)
class GroupNormTiling(Tiling):
    """Numbers of elements, but for `epsilon`, flags and counts.

    `total` elements of x, of which a core has `share`; `group_elements` to a group; `plane` to a channel. `tile` is the
    most that is worked on at once, `resident_tiles` how many of them stay in the unified buffer. `parameter_block` is
    the room for one value a channel of a group, `slots` that for statistics.
    """

    total: Int64
    share: Int64
    group_elements: Int64
    plane: Int64
    channels: Int32
    group_channels: Int32
    tile: Int32
    resident_tiles: Int32
    parameter_block: Int32
    slots: Int32
    add: Int32
    modulated: Int32
    silu: Int32
    keep_sum: Int32
    epsilon: Float32
    unused: Int32


def problem(node: Node) -> GroupNormProblem:
    """What the tiling depends on; a plain group_norm adds nothing and has no activation."""
    x = node.inputs[0].type
    attributes = node.attributes
    return GroupNormProblem(
        batch=x.shape[0],
        channels=x.shape[1],
        plane=math.prod(x.shape[2:]),
        itemsize=x.dtype.itemsize,
        groups=int(attributes["groups"]),  # type: ignore[arg-type]
        epsilon=float(attributes["epsilon"]),  # type: ignore[arg-type]
        silu=attributes.get("activation", ACTIVATIONS[0]) == "silu",
        add=str(attributes.get("add", ADDS[0])),
        modulated=bool(attributes.get("modulated", False)),
        keep_sum=bool(attributes.get("keep_sum", False)),
    )


def limits(node: Node, soc: Soc) -> str | None:
    """Why the kernel can't compute the node on the SoC, as a clause; None if it can."""
    shape = problem(node)
    x = node.inputs[0]
    if soc.coupled:
        for elements, what in ((shape.plane, "a channel"), (shape.channels, "a value for every channel")):
            if elements * shape.itemsize % BLOCK_BYTES:
                return (
                    f"{soc.name} copies multiples of {BLOCK_BYTES} bytes only, but {what} of %{x.name}, which is "
                    f"{x.type}, has {elements * shape.itemsize}"
                )
    if shape.elements == 0:
        return f"%{x.name} is {x.type}, which has no elements"
    fixed = _fixed_bytes(shape, TILE_BYTES[-1], soc.vector_cores)
    if fixed > usable_ub_bytes(soc):
        return (
            f"a group of %{x.name}, which is {x.type}, has {shape.group_channels} channels, whose parameters and one "
            f"tile take {fixed} bytes of the unified buffer, but {usable_ub_bytes(soc)} are usable"
        )
    return None


def launch(shape: GroupNormProblem, soc: Soc) -> Launch:
    """How to start the kernel for a problem that `limits` has no reason against."""
    all_groups = shape.batch * shape.groups
    whole = ceil_div(all_groups, soc.vector_cores)
    # Whole groups where at least nine tenths of the cores' time is used so, and where cores cannot meet otherwise.
    key = WHOLE_GROUPS if soc.coupled or 10 * all_groups >= 9 * whole * soc.vector_cores else SHARED_GROUPS
    if key == WHOLE_GROUPS:
        share, measured = whole * shape.group_elements, shape.group_elements
    else:
        share = round_up(ceil_div(shape.elements, soc.vector_cores), COPY_BYTES // shape.itemsize)
        measured = min(share, shape.elements)
    cores = ceil_div(shape.elements, share)
    tile_bytes, resident = _residency(shape, soc, measured)
    tiling = GroupNormTiling(
        total=shape.elements,
        share=share,
        group_elements=shape.group_elements,
        plane=shape.plane,
        channels=shape.channels,
        group_channels=shape.group_channels,
        tile=tile_bytes // shape.itemsize,
        resident_tiles=resident,
        parameter_block=_parameter_block(shape),
        slots=soc.vector_cores,
        add=ADDS.index(shape.add),
        modulated=int(shape.modulated),
        silu=int(shape.silu),
        keep_sum=int(shape.keep_sum),
        epsilon=shape.epsilon,
        unused=0,
    )
    kept = resident >= _tiles(shape, measured, tile_bytes // shape.itemsize)
    return Launch(
        tiling=tiling,
        cores=cores,
        key=key,
        workspace_bytes=(cores + all_groups) * SLOT_BYTES,
        memory={
            "ub": _fixed_bytes(shape, tile_bytes, soc.vector_cores) + resident * _resident_bytes(shape, tile_bytes)
        },
        notes=("x is read once" if kept else f"{resident} tiles a core are read once, the others twice",),
    )


def _residency(shape: GroupNormProblem, soc: Soc, measured: int) -> tuple[int, int]:
    """Bytes of a tile, and how many tiles stay: the first size with which all do, else the first that fits at all."""
    fitting = []
    for tile_bytes in TILE_BYTES:
        room = usable_ub_bytes(soc) - _fixed_bytes(shape, tile_bytes, soc.vector_cores)
        if room < 0:
            continue
        tiles = _tiles(shape, measured, tile_bytes // shape.itemsize)
        resident = min(room // _resident_bytes(shape, tile_bytes), tiles)
        if resident == tiles:
            return tile_bytes, resident
        fitting.append((tile_bytes, resident))
    return fitting[0]


def _tiles(shape: GroupNormProblem, measured: int, tile: int) -> int:
    """No fewer than the tiles in any part of so many elements: they end with groups, and with odd channels."""
    if shape.plane * shape.itemsize % BLOCK_BYTES:
        return (measured // shape.plane + 2) * ceil_div(shape.plane, tile)
    return ceil_div(measured, tile) + ceil_div(measured, shape.group_elements)


def _resident_bytes(shape: GroupNormProblem, tile_bytes: int) -> int:
    return tile_bytes * (2 if shape.add == "full" else 1)


def _parameter_block(shape: GroupNormProblem) -> int:
    """Elements between two parameters in the unified buffer, a multiple of 32 bytes in every type."""
    return round_up(shape.group_channels, BLOCK_BYTES // 2)


def _fixed_bytes(shape: GroupNormProblem, tile_bytes: int, slots: int) -> int:
    """The unified buffer without the resident tiles: what the kernel's Init functions allocate."""
    tile, block = tile_bytes // shape.itemsize, _parameter_block(shape)
    streams = 2 + (shape.add == "full") + shape.keep_sum
    parameters = 2 + 2 * shape.modulated + (shape.add == "channel")
    return (
        2 * streams * tile_bytes  # queues, two buffers each
        + 2 * tile * 4  # values and scratch in float32
        + parameters * block * shape.itemsize
        + 4 * block * 4  # factor, offset, one temporary, added, in float32
        + round_up(ceil_div(tile, 64) * 4, BLOCK_BYTES)  # partial sums of a reduction
        + BLOCK_BYTES  # its result
        + slots * SLOT_BYTES
    )
