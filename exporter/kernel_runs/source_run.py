"""Runs a kernel of an operator's folder in the simulator, on arrays and tiling values that are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.exporter.kernel_runs.figures import RunFigures, run_figures
from coopdraw.exporter.kernel_runs.operator_folder import OperatorFolder
from coopdraw.graphs.types import TensorType
from coopdraw.kernels.ascend.simulation import library_workspace_bytes
from coopdraw.kernels.simulator.build import CoreChoice, build_kernel
from coopdraw.kernels.simulator.simulation import Synchronisation, simulate
from coopdraw.kernels.simulator.soc import Soc


@dataclass(frozen=True)
class SourceCall:
    """How a kernel is called. `outputs` are by name in any order; one that `inputs` has too is changed in place.

    `workspace_bytes` is the kernel's own part. A `partial` output may stay unwritten in part.
    `readable_past_end` bytes behind each input may be read, for kernels that copy whole blocks.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, TensorType]
    tiling: Mapping[str, Any]
    key: int = 0
    blocks: int | None = None
    workspace_bytes: int = 0
    defines: Mapping[str, str] = field(default_factory=dict)
    struct: str | None = None
    cores: CoreChoice | None = None
    synchronisation: Synchronisation = "automatic"
    partial: Collection[str] = ()
    readable_past_end: int = 0


@dataclass(frozen=True)
class SourceRun:
    """What came of it; `outputs` by name, bfloat16 as the uint16 of its bits."""

    outputs: Mapping[str, np.ndarray]
    figures: RunFigures
    printed: str

    def as_dict(self) -> dict[str, Any]:
        """Without the arrays."""
        arrays = {name: {"dtype": str(array.dtype), "shape": array.shape} for name, array in self.outputs.items()}
        return {"outputs": arrays, "figures": asdict(self.figures), "printed": self.printed}


def run_source(operator: OperatorFolder, call: SourceCall, soc: Soc) -> SourceRun:
    """Builds the folder's kernel as it is and runs it, on all vector cores unless `blocks` says how many.

    Raises KernelRequestError for arguments that don't fit the kernel, KernelBuildError if it can't be built,
    SimulationError for its first fault.
    """
    inputs, outputs, in_place = _arguments(operator, call)
    struct = call.struct or operator.struct
    if struct is None:
        known = ", ".join(operator.structs.names()) or "none"
        raise KernelRequestError(f"nothing says which tiling struct {operator.entry} takes; name it ({known})")
    tiling = operator.structs.pack(struct, call.tiling)
    program = build_kernel(
        operator.source,
        operator.entry,
        len(operator.parameters),
        soc,
        include_folders=operator.include_folders,
        tiling=operator.definitions,
        tiling_struct=struct if operator.definitions else None,
        defines=call.defines,
        cores=call.cores or operator.cores,
    )
    default = soc.cube_cores if (call.cores or operator.cores) == "mixed" else soc.vector_cores
    simulation = simulate(
        program,
        [call.inputs.get(name) for name in inputs],
        [(call.outputs[name].shape, _stored(call.outputs[name])) for name in outputs],
        tiling,
        call.key,
        default if call.blocks is None else call.blocks,
        library_workspace_bytes(soc) + call.workspace_bytes,
        synchronisation=call.synchronisation,
        in_place=[inputs.index(name) for name in in_place],
        partial_outputs=[outputs.index(name) for name in outputs if name in call.partial],
        readable_past_end=call.readable_past_end,
    )
    names = [*sorted(in_place, key=inputs.index), *outputs]
    results = dict(zip(names, simulation.outputs, strict=True))
    least = sum(array.nbytes for array in call.inputs.values()) + sum(type.nbytes for type in call.outputs.values())
    return SourceRun(results, run_figures(simulation.report, soc, least), simulation.report.output)


def _arguments(operator: OperatorFolder, call: SourceCall) -> tuple[list[str], list[str], list[str]]:
    """Names of inputs, outputs, and of inputs that are outputs too; inputs that aren't given are null."""
    known = operator.parameters
    for name in (*call.inputs, *call.outputs, *call.partial):
        if name not in known:
            raise KernelRequestError(f"{operator.entry} has no tensor {name}; it has {', '.join(known)}")
    made = [name for name in known if name in call.outputs and name not in call.inputs]
    first = known.index(made[0]) if made else len(known)
    misplaced = [name for name in known[first:] if name not in call.outputs or name in call.inputs]
    if misplaced:
        raise KernelRequestError(
            f"{operator.entry} takes {', '.join(known)}, where {misplaced[0]} follows the output {made[0]}; give it as "
            "an output, too"
        )
    inputs = list(known[:first])
    return inputs, made, [name for name in inputs if name in call.outputs]


def _stored(type: TensorType) -> np.dtype:
    """bfloat16 as its bits: NumPy's files have no bfloat16."""
    return np.dtype(np.uint16) if type.dtype == "bfloat16" else type.dtype.numpy
