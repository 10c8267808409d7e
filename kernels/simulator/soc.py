"""The Ascend processors that kernels are simulated and planned for."""

from __future__ import annotations

from dataclasses import dataclass

_KIB = 1024


@dataclass(frozen=True)
class Soc:
    """One processor. Rates are of the whole chip unless said; peak figures are derived, bandwidths are published ones.

    With `coupled` cores a core has both cube and vector units (310P); otherwise a cube core works with two vector
    cores.
    """

    name: str
    variant: str
    architecture: int
    """__NPU_ARCH__ of the device compiler."""
    vector_cores: int
    cube_cores: int
    ub_bytes: int
    l1_bytes: int
    l0a_bytes: int
    l0b_bytes: int
    l0c_bytes: int
    bias_bytes: int
    fixbuf_bytes: int
    l2_bytes: int
    memory_bytes_per_second: float
    l2_bytes_per_second: float | None
    cube_flops: float
    """float16 multiply-adds, counted as two operations each, per second."""
    vector_bytes_per_cycle: int
    """Of one vector core: one repeat."""
    clock_hz: float
    coupled: bool


def _ascend910b(name: str, variant: str, cube_cores: int) -> Soc:
    clock_hz = 1.85e9
    return Soc(
        name=name,
        variant=variant,
        architecture=2201,
        vector_cores=2 * cube_cores,
        cube_cores=cube_cores,
        ub_bytes=192 * _KIB,
        l1_bytes=512 * _KIB,
        l0a_bytes=64 * _KIB,
        l0b_bytes=64 * _KIB,
        l0c_bytes=128 * _KIB,
        bias_bytes=1 * _KIB,
        fixbuf_bytes=7 * _KIB,
        l2_bytes=192 * _KIB * _KIB,
        memory_bytes_per_second=1.6e12,
        l2_bytes_per_second=5e12,
        cube_flops=cube_cores * 2 * 16**3 * clock_hz,
        vector_bytes_per_cycle=256,
        clock_hz=clock_hz,
        coupled=False,
    )


_ASCEND310P = Soc(
    name="ascend310p",
    variant="310P3",
    architecture=2002,
    vector_cores=8,
    cube_cores=8,
    ub_bytes=256 * _KIB,
    l1_bytes=1024 * _KIB,
    l0a_bytes=64 * _KIB,
    l0b_bytes=64 * _KIB,
    l0c_bytes=256 * _KIB,
    bias_bytes=64 * _KIB,
    fixbuf_bytes=64 * _KIB,
    l2_bytes=16 * _KIB * _KIB,
    memory_bytes_per_second=204e9,
    l2_bytes_per_second=None,
    cube_flops=8 * 2 * 16**3 * 1.08e9,
    vector_bytes_per_cycle=256,
    clock_hz=1.08e9,
    coupled=True,
)

SOCS = {
    soc.name: soc
    for soc in (_ascend910b("ascend910b", "910B3", 20), _ascend910b("ascend910b1", "910B1", 24), _ASCEND310P)
}
