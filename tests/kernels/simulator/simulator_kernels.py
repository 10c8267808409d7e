"""Builds the kernels beside this file, each once per run of the tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from coopdraw.kernels.simulator.build import CoreChoice, Program, build_kernel
from coopdraw.kernels.simulator.soc import SOCS

KERNELS = Path(__file__).parent / "kernels"


@cache
def built(
    name: str,
    arguments: int,
    entry: str | None = None,
    tiling: str = "",
    tiling_struct: str | None = None,
    cores: CoreChoice = "vector",
    soc: str = "ascend910b",
) -> Program:
    source = KERNELS / f"{name}.cpp"
    return build_kernel(
        source, entry or name, arguments, SOCS[soc], tiling=tiling, tiling_struct=tiling_struct, cores=cores
    )
