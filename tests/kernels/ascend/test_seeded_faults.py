"""Faults in the text of the generated kernels: the simulator stops each of them.

A kernel is built once with all its faults, each in a branch of its own; the environment says which of them a run has.
Every statement that keeps an order or hands a buffer on is left out once; the other faults are written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from kernels.ascend.faults import Fault
from kernels.ascend.nodes import group_norm_inputs, group_norm_node, normal
from kernels.calling import make_node

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.ascend.render import kernel_source
from coopdraw.kernels.ascend.simulation import build_source, simulate_program
from coopdraw.kernels.group_norm.ascend import ASCEND as GROUP_NORM
from coopdraw.kernels.linear_combination.ascend import ASCEND as LINEAR_COMBINATION
from coopdraw.kernels.simulator.build import Program
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS

VARIABLE = "COOPDRAW_SEEDED_FAULT"
KERNELS = (GROUP_NORM, LINEAR_COMBINATION)

ORDER = re.compile(
    r"AscendC::(?:PipeBarrier<PIPE_V>|SyncAll)\(\);|Wait<AscendC::HardEvent::\w+>\(\*pipe_\);"
    r"|\w+\.(?:FreeTensor|EnQue)\(\w+\);"
)
ORDER_KINDS = ("hazard", "race", "queue", "deadlock", "uninitialised")

# What the simulator does not need: its scalar unit has read when it goes on, and ReduceSum waits for the vector unit
# before it writes its result, as the public implementation does. The documentation promises neither.
UNSEEN = re.compile(r"Wait<AscendC::HardEvent::S_(?:V|MTE2)>|ReduceSum\([^;]*;\s*Wait<AscendC::HardEvent::V_S>")


WRITTEN_DOWN = {
    GROUP_NORM: (
        Fault("freed into another queue", "inputs_.FreeTensor(input);", "addends_.FreeTensor(input);", ("queue",)),
        Fault("enqueued in another queue", "inputs_.EnQue(input);", "addends_.EnQue(input);", ("queue",)),
        Fault(
            "tile larger than its buffer",
            "end - first < tiling_->tile ? end - first : tiling_->tile",
            "end - first < 2 * tiling_->tile ? end - first : 2 * tiling_->tile",
            ("bounds",),
        ),
        Fault(
            "buffers larger than the unified buffer",
            "pipe->InitBuffer(values_buffer_, tiling_->tile * sizeof(float));",
            "pipe->InitBuffer(values_buffer_, 64 * tiling_->tile * sizeof(float));",
            ("capacity",),
        ),
        Fault("x is read eight elements off", "x_[first]", "x_[first + 8]", ("bounds",)),
        Fault("y is written eight elements off", "y_[first]", "y_[first + 8]", ("bounds", "race")),
        Fault(
            "resident tile is eight elements off",
            "resident_[next_tile_ * tiling_->tile]",
            "resident_[next_tile_ * tiling_->tile + 8]",
            ("alignment",),
            before="if (keep) {",
        ),
        Fault("all cores write one part", "sum_[first]", "sum_[first % tiling_->share]", ("race",)),
        Fault(
            "coefficients wait for the wrong unit",
            "Wait<AscendC::HardEvent::V_S>(*pipe_);",
            "Wait<AscendC::HardEvent::S_V>(*pipe_);",
            ("hazard",),
            before="Compute(raw, statistics",
        ),
        Fault(
            "statistics wait for the wrong unit",
            "Wait<AscendC::HardEvent::S_MTE3>(*pipe_);",
            "Wait<AscendC::HardEvent::V_S>(*pipe_);",
            ("hazard",),
        ),
        Fault(
            "one slot for all cores of a group", "(AscendC::GetBlockIdx() + group) * SLOT", "group * SLOT", ("race",)
        ),
        Fault(
            "statistics of another group",
            "(first_core + group) * SLOT",
            "(first_core + group + 1) * SLOT",
            ("uninitialised", "bounds"),
        ),
    ),
    LINEAR_COMBINATION: (
        Fault(
            "freed into another queue", "operands_.FreeTensor(operand);", "results_.FreeTensor(operand);", ("queue",)
        ),
        Fault("enqueued in another queue", "results_.EnQue(result);", "operands_.EnQue(result);", ("queue",)),
        Fault(
            "tile larger than its buffer",
            "end - first < tiling_->tile ? end - first : tiling_->tile",
            "end - first < 2 * tiling_->tile ? end - first : 2 * tiling_->tile",
            ("bounds",),
        ),
        Fault(
            "buffers larger than the unified buffer",
            "pipe->InitBuffer(sum_, tiling->tile * sizeof(float));",
            "pipe->InitBuffer(sum_, 8 * tiling->tile * sizeof(float));",
            ("capacity",),
        ),
        Fault(
            "operands are read eight elements off", "inputs_[input][first]", "inputs_[input][first + 8]", ("bounds",)
        ),
        Fault("y is written eight elements off", "y_[first]", "y_[first + 8]", ("bounds", "race")),
        Fault("all cores write one part", "y_[first]", "y_[first % tiling_->share]", ("race",)),
        Fault("missing DeQue", "result = results_.template DeQue<T>();", "", ("queue", "hazard")),
        Fault(
            "an operand is not loaded",
            "input + 1 < tiling_->count",
            "input + 2 < tiling_->count",
            ("queue", "uninitialised"),
        ),
    ),
}


def left_out(source: str) -> Iterator[tuple[int, Fault]]:
    """Every statement that keeps an order or hands a buffer on, and where it is, unless the simulator needs none."""
    unseen = [match.end() for match in UNSEEN.finditer(source)]
    for match in ORDER.finditer(source):
        if not any(match.start() < end <= match.end() for end in unseen):
            line = source[: match.start()].rstrip().rpartition("\n")[2].strip()
            yield match.start(), Fault(f"no {match.group()} after {line}", match.group(), "", ORDER_KINDS)


@cache
def faults(kernel: AscendKernel) -> tuple[tuple[int, Fault], ...]:
    """Where the faults of a kernel are, and what."""
    source = kernel_source(kernel, Layout.CANN9)
    return (*left_out(source), *((fault.place(source), fault) for fault in WRITTEN_DOWN[kernel]))


@cache
def faulty_program(kernel: AscendKernel) -> Program:
    source = kernel_source(kernel, Layout.CANN9)
    texts: dict[tuple[int, str], str] = {}
    for number, (place, fault) in enumerate(faults(kernel), start=1):
        texts[place, fault.old] = fault.seeded(number, texts.get((place, fault.old), fault.old))
    for (place, old), text in sorted(texts.items(), reverse=True):
        source = source[:place] + text + source[place + len(old) :]
    source = f'#include <cstdlib>\nstatic const int seeded_fault = std::atoi(std::getenv("{VARIABLE}"));\n{source}'
    return build_source(kernel, source, DType.FLOAT16, SOCS["ascend910b"], Layout.CANN9)


@cache
def cases(kernel: AscendKernel) -> tuple[tuple[Node, list[np.ndarray]], ...]:
    """Several tiles a core; for group norm also cores that meet in groups, and all of its branches."""
    if kernel is LINEAR_COMBINATION:
        random = np.random.default_rng(0)
        inputs = [normal(random, (1, 16, 160, 160), "float16") for _ in range(3)]
        return ((make_node("linear_combination", inputs, {"weights": (1.5, -2.0, 0.25)}), inputs),)
    found = []
    for add, modulated in (("full", True), ("channel", True), ("none", False)):
        inputs = group_norm_inputs((1, 64, 64, 64), add=add, modulated=modulated)
        found.append((group_norm_node(inputs, add=add, modulated=modulated, keep_sum=add != "none"), inputs))
    return tuple(found)


def simulate_cases(kernel: AscendKernel) -> None:
    for node, inputs in cases(kernel):
        simulate_program(faulty_program(kernel), kernel, node, inputs)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.type_name)
def test_without_a_fault_nothing_is_stopped(kernel: AscendKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    simulate_cases(kernel)


@pytest.mark.parametrize(
    ("kernel", "number"),
    [
        pytest.param(kernel, number, id=f"{kernel.type_name}-{fault.name}")
        for kernel in KERNELS
        for number, (_, fault) in enumerate(faults(kernel), start=1)
    ],
)
def test_faults_are_stopped(kernel: AscendKernel, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(number))
    with pytest.raises(SimulationError) as caught:
        simulate_cases(kernel)
    assert caught.value.kind in faults(kernel)[number - 1][1].kinds, caught.value


def test_every_kind_of_statement_is_left_out() -> None:
    names = [fault.name for _, fault in faults(GROUP_NORM)]
    for part in ("PipeBarrier", "SyncAll", "Wait<AscendC::HardEvent::V_S>", "FreeTensor", "EnQue"):
        assert any(f"no {part}" in name or f".{part}" in name or f"::{part}" in name for name in names), part
