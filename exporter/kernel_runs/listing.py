"""Which operators have kernels, and what can be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.kernels.ascend.built_in import BUILT_IN
from coopdraw.kernels.ascend.catalogue import ASCEND_KERNELS, BY_OPERATOR, WORDS
from coopdraw.kernels.ascend.kernel import AscendKernel
from coopdraw.kernels.cpu.selection import CPU_KERNELS

NO_ASCEND = "no Ascend kernel"


@dataclass(frozen=True)
class KernelEntry:
    """The kernels of one operator; None or nothing where there is none. `status` is of the Ascend kernel."""

    operator: str
    cpu: str | None
    ascend: str | None
    socs: tuple[str, ...]
    dtypes: tuple[str, ...]
    built_in: str | None
    status: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kernel_entries() -> tuple[KernelEntry, ...]:
    """One for every operator that has a kernel, by name."""
    return tuple(_entry(operator) for operator in sorted({*CPU_KERNELS, *BY_OPERATOR}))


def _entry(operator: str) -> KernelEntry:
    cpu, ascend, built_in = CPU_KERNELS.get(operator), BY_OPERATOR.get(operator), BUILT_IN.get(operator)
    return KernelEntry(
        operator=operator,
        cpu=cpu.symbol if cpu else None,
        ascend=ascend.type_name if ascend else None,
        socs=ascend.socs if ascend else (),
        dtypes=ascend.dtypes if ascend else (),
        built_in=built_in.type_name if built_in else None,
        status=WORDS if ascend else NO_ASCEND,
    )


def kernels_named(names: Sequence[str]) -> tuple[AscendKernel, ...]:
    """The Ascend kernels of operators or of device types, each once; all of them without names."""
    by_name = {**BY_OPERATOR, **{kernel.type_name: kernel for kernel in ASCEND_KERNELS}}
    for name in names:
        if name not in by_name:
            known = ", ".join(sorted(BY_OPERATOR))
            raise KernelRequestError(f"there is no Ascend kernel {name}; choose one of {known}")
    return tuple(dict.fromkeys(by_name[name] for name in names)) if names else ASCEND_KERNELS
