"""Tries the tile sizes that a kernel's tiling struct allows, each in the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.capacity import COPY_BYTES, ceil_div, round_up
from coopdraw.kernels.ascend.kernel import AscendKernel
from coopdraw.kernels.ascend.simulation import simulate_node
from coopdraw.kernels.ascend.tiling import Launch
from coopdraw.kernels.attention import tiling as attention
from coopdraw.kernels.group_norm.tiling import GroupNormTiling
from coopdraw.kernels.linear_combination.tiling import LinearCombinationTiling
from coopdraw.kernels.simulator.estimate import estimate
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import Soc

_TILE_BYTES = (2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True)
class Trial:
    """One tiling: what was varied, and what it came to; `fault` instead where the simulator stopped it.

    `seconds` are an estimate. `own` is the tiling that the kernel chooses by itself.
    """

    varied: dict[str, int]
    own: bool
    seconds: float | None
    moved_bytes: int | None
    cores: int
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def tune(kernel: AscendKernel, node: Node, inputs: Sequence[np.ndarray], soc: Soc) -> tuple[Trial, ...]:
    """All trials, the fastest by estimate first, faults last; raises KernelRequestError if nothing can be varied.

    Of equal estimates the kernel's own comes first, then those on more cores.
    """
    vary = _VARIATIONS.get(kernel.folder)
    if vary is None:
        raise KernelRequestError(f"the tiling of {kernel.type_name} has no tile size that can be chosen from outside")
    own = kernel.launch_of(node, soc)
    trials = [_trial(kernel, node, inputs, soc, launch, varied, own) for varied, launch in vary(own, node, soc)]
    return tuple(sorted(trials, key=_order))


def _order(trial: Trial) -> tuple[bool, float, bool, int]:
    return trial.seconds is None, trial.seconds or 0.0, not trial.own, -trial.cores


def _trial(
    kernel: AscendKernel,
    node: Node,
    inputs: Sequence[np.ndarray],
    soc: Soc,
    launch: Launch,
    varied: dict[str, int],
    own: Launch,
) -> Trial:
    is_own = launch.tiling == own.tiling
    try:
        report = simulate_node(replace(kernel, launch=lambda problem, soc: launch), node, inputs, soc).report
    except SimulationError as error:
        return Trial(varied, is_own, None, None, launch.cores, str(error))
    moved = report.total("global_bytes_read") + report.total("global_bytes_written")
    return Trial(varied, is_own, estimate(report, soc).seconds, moved, launch.cores)


def _attentions(own: Launch, node: Node, soc: Soc) -> Iterator[tuple[dict[str, int], Launch]]:
    """Queries of a task and elements of a tile, all that fit."""
    shape = attention.problem(node)
    for rows, tile in attention.blocks(shape, soc):
        yield {"rows": rows, "tile": tile}, attention.launch_with(shape, soc, rows, tile)


def _group_norms(own: Launch, node: Node, soc: Soc) -> Iterator[tuple[dict[str, int], Launch]]:
    """Sizes of a tile, and how many stay in the unified buffer: as the kernel has it, half as many, none."""
    tiling, itemsize = cast(GroupNormTiling, own.tiling), node.inputs[0].type.dtype.itemsize
    resident_bytes = tiling.resident_tiles * tiling.tile * itemsize
    for tile_bytes in _TILE_BYTES:
        most = resident_bytes // tile_bytes
        counts = sorted({most, most // 2, 0}, reverse=True)
        if tile_bytes == tiling.tile * itemsize:
            counts = sorted({tiling.resident_tiles, tiling.resident_tiles // 2, 0}, reverse=True)
        for resident in counts:
            changed = replace(tiling, tile=tile_bytes // itemsize, resident_tiles=resident)
            yield {"tile_bytes": tile_bytes, "resident_tiles": resident}, replace(own, tiling=changed)


def _linear_combinations(own: Launch, node: Node, soc: Soc) -> Iterator[tuple[dict[str, int], Launch]]:
    """Sizes of a tile, on all cores and on half of them."""
    tiling, itemsize = cast(LinearCombinationTiling, own.tiling), node.inputs[0].type.dtype.itemsize
    for cores in (soc.vector_cores, max(soc.vector_cores // 2, 1)):
        share = round_up(ceil_div(tiling.total, cores), COPY_BYTES // itemsize)
        for tile_bytes in _TILE_BYTES:
            changed = replace(tiling, tile=tile_bytes // itemsize, share=share)
            used = ceil_div(tiling.total, share)
            yield {"tile_bytes": tile_bytes, "cores": used}, replace(own, tiling=changed, cores=used)


_VARIATIONS: dict[str, Callable[[Launch, Node, Soc], Iterator[tuple[dict[str, int], Launch]]]] = {
    "attention": _attentions,
    "group_norm": _group_norms,
    "linear_combination": _linear_combinations,
}
