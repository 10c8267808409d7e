"""Runs an Ascend kernel for one node in the simulator, over all the cores that its tiling asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.render import kernel_source, tiling_header
from coopdraw.kernels.simulator.build import Program, build_kernel, tiling_definitions
from coopdraw.kernels.simulator.simulation import Simulation, simulate
from coopdraw.kernels.simulator.soc import Soc

_TYPES = {DType.FLOAT16: "half", DType.FLOAT32: "float"}
_MEBIBYTE = 1 << 20


def library_workspace_bytes(soc: Soc) -> int:
    """What the runtime keeps at the workspace's start (asc-devkit:impl/basic_api/utils/kernel_utils_constants.h)."""
    return (2 if soc.coupled else 16) * _MEBIBYTE


def build_source(kernel: AscendKernel, source: str, dtype: DType, soc: Soc, layout: Layout) -> Program:
    """Builds a kernel's text, as `kernel_source` gives it, for tensors of one type."""
    header = tiling_header(kernel, layout)
    parameters = (*kernel.inputs, *kernel.outputs)
    return build_kernel(
        source.replace(f'#include "{kernel.entry}_tiling.h"\n', ""),
        kernel.entry,
        len(parameters),
        soc,
        tiling=tiling_definitions(header) if layout is Layout.CANN8 else header,
        defines={f"DTYPE_{parameter.name.upper()}": _TYPES[dtype] for parameter in parameters},
        cores=kernel.cores,
    )


def simulate_node(
    kernel: AscendKernel, node: Node, inputs: Sequence[np.ndarray], soc: Soc, layout: Layout = Layout.CANN9
) -> Simulation:
    """Runs the kernel on the node's inputs; the simulation's outputs are the node's.

    Raises SimulationError for the first fault, and KernelBuildError when the kernel can't be built.
    """
    dtype = node.inputs[0].type.dtype
    program = build_source(kernel, kernel_source(kernel, layout), dtype, soc, layout)
    return simulate_program(program, kernel, node, inputs)


def simulate_program(program: Program, kernel: AscendKernel, node: Node, inputs: Sequence[np.ndarray]) -> Simulation:
    """As simulate_node, with a program that was built for the node's type and SoC."""
    call = kernel.call(node)
    launch = kernel.launch_of(node, program.soc)
    unused = [place for place, index in enumerate(call.outputs) if index is None]
    like = [node.outputs[index or 0].type for index in call.outputs]
    simulation = simulate(
        program,
        [None if index is None else inputs[index] for index in call.inputs],
        [(type.shape, type.dtype.numpy) for type in like],
        launch.tiling.encode(),
        launch.key,
        launch.cores,
        library_workspace_bytes(program.soc) + launch.workspace_bytes,
        partial_outputs=unused,
    )
    used = tuple(simulation.outputs[place] for place, index in enumerate(call.outputs) if index is not None)
    return Simulation(used, simulation.report)
