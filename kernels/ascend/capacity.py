"""How much of a core's unified buffer a kernel of ours takes at most."""

from __future__ import annotations

from coopdraw.kernels.simulator.soc import Soc

RESERVED_UB_BYTES = 8192
"""Left to the compiler and the runtime, on every SoC; op_host.cpp.j2 leaves as much."""

BLOCK_BYTES = 32
"""Local addresses and plain copies come in multiples of it."""

COPY_BYTES = 512
"""Global addresses that are multiples of it are copied fastest; what cores share is cut there."""


def usable_ub_bytes(soc: Soc) -> int:
    """What a kernel may allocate, in bytes."""
    return soc.ub_bytes - RESERVED_UB_BYTES


def ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is not below value."""
    return ceil_div(value, multiple) * multiple
