"""Runs our Ascend kernel for one node in the simulator and compares it with the operator's reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from coopdraw.exporter.kernel_runs.errors import KernelRequestError
from coopdraw.exporter.kernel_runs.figures import RunFigures, run_figures
from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops import evaluate
from coopdraw.kernels.ascend.catalogue import BY_OPERATOR, WORDS
from coopdraw.kernels.ascend.choice import Choice, choose
from coopdraw.kernels.ascend.kernel import AscendKernel
from coopdraw.kernels.ascend.simulation import simulate_node
from coopdraw.kernels.ascend.tiling import Launch
from coopdraw.kernels.simulator.soc import Soc


@dataclass(frozen=True)
class NodeRun:
    """What came of a run.

    `errors` are the largest differences of each output from the reference in float64, `largest` the largest magnitudes
    there. `memory` has bytes used and available of each on-chip buffer that the tiling states.
    """

    kernel: str
    soc: str
    operands: tuple[str, ...]
    errors: tuple[float, ...]
    largest: tuple[float, ...]
    figures: RunFigures
    memory: Mapping[str, tuple[int, int]]
    tiling: Mapping[str, Any]
    key: int
    workspace_bytes: int
    notes: tuple[str, ...]
    choice: Choice
    status: str = WORDS

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kernel_of(node: Node, soc: Soc) -> AscendKernel:
    """Our kernel for the node; raises KernelRequestError, which says why, if it is none for it on the SoC."""
    kernel = BY_OPERATOR[node.operator]
    refusal = kernel.refusal(node, soc)
    if refusal is not None:
        raise KernelRequestError(f"{refusal}; change --input, --set, --dtype or --target")
    return kernel


def run_node(kernel: AscendKernel, node: Node, inputs: Sequence[np.ndarray], soc: Soc) -> NodeRun:
    """Simulates the kernel over all the cores that its tiling asks for; raises SimulationError for its first fault."""
    launch = kernel.launch_of(node, soc)
    simulation = simulate_node(kernel, node, inputs, soc)
    expected = evaluate(node.operator, [array.astype(np.float64) for array in inputs], node.attributes)
    differences = [
        np.abs(output.astype(np.float64) - wanted).max(initial=0.0)
        for output, wanted in zip(simulation.outputs, expected, strict=True)
    ]
    least = sum(value.type.nbytes for value in (*node.inputs, *node.outputs))
    return NodeRun(
        kernel=kernel.type_name,
        soc=soc.name,
        operands=tuple(f"{value.name} {value.type}" for value in node.inputs),
        errors=tuple(float(difference) for difference in differences),
        largest=tuple(float(np.abs(wanted).max(initial=0.0)) for wanted in expected),
        figures=run_figures(simulation.report, soc, least),
        memory=_memory(launch, soc),
        tiling=asdict(launch.tiling),
        key=launch.key,
        workspace_bytes=launch.workspace_bytes,
        notes=launch.notes,
        choice=choose(node, soc),
    )


def _memory(launch: Launch, soc: Soc) -> dict[str, tuple[int, int]]:
    return {name: (used, int(getattr(soc, f"{name}_bytes"))) for name, used in launch.memory.items()}
