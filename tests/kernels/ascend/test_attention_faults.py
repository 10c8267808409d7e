"""Faults in the text of attention's kernel: the simulator stops each of them, or the result is wrong.

The kernel is built once with all its faults, each in a branch of its own; the environment says which of them a run has.
Every statement that keeps an order or hands a buffer on is left out once; the other faults are written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from kernels.ascend.faults import Fault
from kernels.ascend.nodes import normal
from kernels.calling import make_node

from coopdraw.graphs.ir import Node
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.render import kernel_source
from coopdraw.kernels.ascend.simulation import build_source, simulate_program
from coopdraw.kernels.attention.ascend import ASCEND
from coopdraw.kernels.simulator.build import Program
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS

VARIABLE = "COOPDRAW_SEEDED_FAULT"

ORDER = re.compile(
    r"AscendC::PipeBarrier<PIPE_V>\(\);|Wait<AscendC::HardEvent::\w+>\(\*pipe_\);|\w+\.(?:FreeTensor|EnQue)\(\w+\);"
    r"|product\.WaitIterateAll\(\);"
)
ORDER_KINDS = ("hazard", "race", "queue", "deadlock", "uninitialised", "event")

# Branches of 310P: not in the program that these tests run.
OTHER_PROCESSOR = re.compile(r"#if __NPU_ARCH__ == 2002.*?#(?:else|endif)", re.DOTALL)


WRONG = ""
"""Instead of a rule's kind: the run ends, with a wrong result."""

WRITTEN_DOWN = (
    Fault("freed into another queue", "tiles_.FreeTensor(tile);", "results_.FreeTensor(tile);", ("queue",)),
    Fault("enqueued in another queue", "results_.EnQue(weights);", "tiles_.EnQue(weights);", ("queue",)),
    Fault("no DeQue", "weights = results_.DeQue<half>();", "", ("queue", "hazard")),
    Fault(
        "a tile of more rows than its buffers have",
        "tile_rows",
        "2 * tile_rows",
        ("bounds", "uninitialised", "race", "hazard"),
        before="WeighTile(step, first, Least(",
    ),
    Fault(
        "buffers larger than the unified buffer",
        "pipe->InitBuffer(tiles_, 2, t->tile * sizeof(float));",
        "pipe->InitBuffer(tiles_, 6, t->tile * sizeof(float));",
        ("capacity",),
    ),
    Fault("base block larger than L0C", "cube.baseN = columns;", "cube.baseN = 64 * columns;", ("capacity",)),
    Fault("base block larger than L0A", "cube.baseK = depth;", "cube.baseK = 64 * depth;", ("capacity",)),
    Fault("depth that the steps don't divide", "cube.depthA1 = 2 * steps;", "cube.depthA1 = 3 * steps;", ("argument",)),
    Fault(
        "queries are read eight elements off", "query_[query_offset_]", "query_[query_offset_ + 8]", ("bounds", WRONG)
    ),
    Fault(
        "values are read eight elements off",
        "value_[value_offset_ + first]",
        "value_[value_offset_ + first + 8]",
        ("bounds", WRONG),
    ),
    Fault(
        "scores are copied eight elements off",
        "first * stored",
        "first * stored + 8",
        ("uninitialised", "bounds", "race", WRONG),
        before="tile, scores_[step % 2][",
    ),
    Fault(
        "weights are written eight elements off",
        "first * RoundUp(KeysOf(step), FRACTAL)",
        "first * RoundUp(KeysOf(step), FRACTAL) + 8",
        ("uninitialised", "race", WRONG),
        before="weights_[step % 2][",
    ),
    Fault(
        "y is written eight elements off",
        "static_cast<int64_t>(first) * tiling_->y_row",
        "static_cast<int64_t>(first) * tiling_->y_row + 8",
        ("race", "bounds", "uninitialised"),
        before="y_[y_offset_ + ",
    ),
    Fault("statistics are off by eight bytes", "maximum_[first]", "maximum_[first + 2]", ("alignment",)),
    Fault(
        "two cores have one task",
        "task % tiling_->query_blocks * tiling_->rows",
        "task / 2 * 2 % tiling_->query_blocks * tiling_->rows",
        ("race", "uninitialised"),
    ),
    Fault(
        "all cores share one workspace",
        "AscendC::GetBlockIdx() * bytes",
        "0 * bytes",
        ("race",),
        before="own = workspace + ",
    ),
    Fault(
        "the flag of weights is that of other pipes",
        "Wait<AscendC::HardEvent::MTE3_MTE2>(*pipe_);",
        "Wait<AscendC::HardEvent::V_MTE2>(*pipe_);",
        ("race", "hazard"),
        before="when it is told to go on",
    ),
    Fault(
        "scores of the wrong turn",
        "step % 2",
        "0",
        ("race", "uninitialised", "hazard"),
        before="Start(score_product, scores_[",
    ),
    Fault("products of the wrong turn", "step % 2", "0", ("race",), before="DataCopy(tile, products_["),
    Fault(
        "a product is not waited for",
        "step > 0",
        "step > 1",
        ("event", "race"),
        before="Weigh(step);\n            if (",
    ),
    Fault("keys that fill up the last block count", "keys < columns", "false", ("uninitialised", WRONG)),
    Fault(
        "the last keys have no weight", "columns - keys", "columns - keys + 1", (WRONG,), before="(1ULL << (FRACTAL - ("
    ),
    Fault(
        "shapes after operands",
        "score_product.SetOrgShape(rows_, keys, tiling_->query_row, tiling_->key_row, keys);",
        "score_product.SetTensorA(query_[0]); "
        "score_product.SetOrgShape(rows_, keys, tiling_->query_row, tiling_->key_row, keys);",
        ("argument",),
    ),
)


@cache
def source() -> str:
    return kernel_source(ASCEND, Layout.CANN9)


def left_out() -> Iterator[tuple[int, Fault]]:
    """Every statement that keeps an order or hands a buffer on, and where it is."""
    elsewhere = [match.span() for match in OTHER_PROCESSOR.finditer(source())]
    for match in ORDER.finditer(source()):
        if not any(begin <= match.start() < end for begin, end in elsewhere):
            line = source()[: match.start()].rstrip().rpartition("\n")[2].strip()
            yield match.start(), Fault(f"no {match.group()} after {line}", match.group(), "", ORDER_KINDS)


@cache
def faults() -> tuple[tuple[int, Fault], ...]:
    return (*left_out(), *((fault.place(source()), fault) for fault in WRITTEN_DOWN))


@cache
def faulty_program() -> Program:
    texts: dict[tuple[int, str], str] = {}
    for number, (place, fault) in enumerate(faults(), start=1):
        texts[place, fault.old] = fault.seeded(number, texts.get((place, fault.old), fault.old))
    text = source()
    for (place, old), replacement in sorted(texts.items(), reverse=True):
        text = text[:place] + replacement + text[place + len(old) :]
    text = f'#include <cstdlib>\nstatic const int seeded_fault = std::atoi(std::getenv("{VARIABLE}"));\n{text}'
    return build_source(ASCEND, text, DType.FLOAT16, SOCS["ascend910b"], Layout.CANN9)


@cache
def case() -> tuple[Node, list[np.ndarray], np.ndarray]:
    """Three blocks of keys, the last one not of whole fractals; several tiles a block, and two tasks a core."""
    random = np.random.default_rng(0)
    query, key, value = (normal(random, (1, length, 160), "float16") for length in (2080, 1100, 1100))
    node = make_node("attention", [query, key, value], {"heads": 2, "scale": 0.1, "layout": "BSH"})
    heads = []
    for head in range(2):
        q, k, v = (array[0, :, 80 * head : 80 * head + 80].astype(np.float64) for array in (query, key, value))
        weights = np.exp(0.1 * q @ k.T)
        heads.append(weights @ v / weights.sum(axis=1, keepdims=True))
    return node, [query, key, value], np.concatenate(heads, axis=1)[None]


def error() -> float:
    """The largest error of a run."""
    node, inputs, expected = case()
    (output,) = simulate_program(faulty_program(), ASCEND, node, inputs).outputs
    return float(np.abs(output.astype(np.float64) - expected).max())


def outcome() -> float | SimulationError:
    """The largest error of a run that ends, or what stopped it."""
    try:
        return error()
    except SimulationError as fault:
        return fault


def test_without_a_fault_the_result_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    assert error() <= 1e-3  # as in test_attention.py


@pytest.mark.parametrize(
    "number", [pytest.param(number, id=fault.name) for number, (_, fault) in enumerate(faults(), start=1)]
)
def test_faults_are_caught(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(number))
    kinds = faults()[number - 1][1].kinds
    found = outcome()
    if isinstance(found, SimulationError):
        assert found.kind in kinds, found
    else:
        assert WRONG in kinds
        assert not found <= 1e-2  # also not a number


def test_coupled_cores_wait_for_their_own_cube() -> None:
    """310P: the result of a product is copied out by MTE3, and read by MTE2."""
    statement = "product.End();\n        Wait<AscendC::HardEvent::MTE3_MTE2>(*pipe_);"
    assert statement in source()
    text = source().replace(statement, "product.End();")
    program = build_source(ASCEND, text, DType.FLOAT16, SOCS["ascend310p"], Layout.CANN9)
    node, inputs, _ = case()
    with pytest.raises(SimulationError, match="MTE3") as caught:
        simulate_program(program, ASCEND, node, inputs)
    assert caught.value.kind == "hazard"
