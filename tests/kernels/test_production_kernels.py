"""Kernels of CANN's public repository ops-nn, unmodified, in the simulator.

COOPDRAW_OPERATORS names a checkout of https://gitcode.com/cann/ops-nn; without it the tests are skipped. The tilings
are worked out here: what the fields mean is in each operator's op_kernel.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from kernels.ascend.nodes import group_norm_node
from kernels.calling import make_node

from coopdraw.exporter.kernel_runs.operator_folder import open_operator
from coopdraw.exporter.kernel_runs.source_run import SourceCall, SourceRun, run_source
from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops import evaluate
from coopdraw.graphs.ops.erf import erf
from coopdraw.graphs.types import DType, TensorType
from coopdraw.kernels.ascend.built_in import BUILT_IN
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS

FOLDER = os.environ.get("COOPDRAW_OPERATORS", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="COOPDRAW_OPERATORS isn't set: it names a checkout of CANN's ops-nn, whose kernels run here"
)
C_TYPES = {"float16": "half", "float32": "float", "bfloat16": "bfloat16_t"}
EPSILON = 1e-5


def stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array as a file has it: bfloat16 as its bits."""
    return array.astype(ml_dtypes.bfloat16).view(np.uint16) if dtype == "bfloat16" else array.astype(dtype)


def exact(array: np.ndarray, dtype: str) -> np.ndarray:
    return (array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array).astype(np.float64)


def tolerance(expected: np.ndarray, dtype: str) -> np.ndarray:
    """Two roundings to the type (these kernels narrow once or twice), and float32 arithmetic at a scale of 1."""
    unit = {"float16": 2.0**-11, "float32": 2.0**-24, "bfloat16": 2.0**-8}[dtype]
    return 2 * unit * np.abs(expected) + 2e-5


def check(output: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    error = np.abs(exact(output, dtype) - expected)
    assert (error <= tolerance(expected, dtype)).all(), error.max()


def run(
    folder: str,
    entry: str,
    soc: str,
    dtype: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, tuple[str, tuple[int, ...]]],
    tiling: Mapping[str, Any],
    **options: Any,
) -> SourceRun:
    operator = open_operator(Path(FOLDER, folder), entry)
    defines = {"DTYPE_X": C_TYPES[dtype], "DTYPE_GAMMA": C_TYPES[dtype]}
    types = {name: TensorType(DType(kind), shape) for name, (kind, shape) in outputs.items()}
    call = SourceCall(inputs, types, tiling, defines=defines, **options)
    return run_source(operator, call, SOCS[soc])


def check_built_in_work(node: Node, soc: str, done: SourceRun) -> None:
    """What is assumed of the device's own operator, against its source in the simulator."""
    (work,) = BUILT_IN[node.operator].works(node, SOCS[soc])
    # Parameters, which every core reads, are the difference.
    assert work.moved_bytes == pytest.approx(done.figures.moved_bytes, rel=0.03)
    ((used, available),) = done.figures.busy.values()
    assert work.busy == pytest.approx(used / available)


def ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def parts(total: int, cores: int) -> tuple[int, int, int]:
    """Of `total` things: for each core, cores that get any, for the last of them."""
    each = ceil_div(total, cores)
    used = ceil_div(total, each)
    return each, used, total - each * (used - 1)


@pytest.mark.parametrize("soc", ["ascend910b", "ascend310p"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 320, 32, 32), (1, 640, 64, 64)])
def test_group_norm_silu(soc: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Whole groups to a core, tiles of 8192 elements within a channel, or within a group of small planes."""
    if (soc, dtype) == ("ascend310p", "bfloat16"):
        pytest.skip("the 310P has no bfloat16")
    groups, tile = 32, 8192
    batch, channels, plane = shape[0], shape[1], math.prod(shape[2:])
    width = channels // groups
    each, used, last = parts(batch * groups, SOCS[soc].vector_cores)
    elements = width * plane
    small, wide = plane <= 4096, dtype == "float32"
    key = {(True, False): 1011, (False, False): 1031, (True, True): 102, (False, True): 104}[small, wide]
    tiling = {
        "numGroups": groups,
        "hwNum": plane,
        "elemNum": elements,
        "shapeC": channels,
        "shapeD": width,
        "realCoreNum": used,
        "numPerCore": each,
        "numLastCore": last,
        "processSize": tile,
        "loopNum": ceil_div(elements, tile),
        "loopTail": elements - tile * (ceil_div(elements, tile) - 1),
        "innerLoopNum": ceil_div(plane, tile),
        "innerLoopTail": plane - tile * (ceil_div(plane, tile) - 1),
        "tilingKey": key,
        "epsilon": EPSILON,
        "activateSilu": 1,
    }
    random = np.random.default_rng(0)
    arrays = [
        random.standard_normal(shape),
        1 + 0.1 * random.standard_normal(channels),
        random.standard_normal(channels),
    ]
    inputs = {name: stored(array, dtype) for name, array in zip(("x", "gamma", "beta"), arrays, strict=True)}
    outputs = {"silu": (dtype, shape), "mean": (dtype, (batch, groups)), "rstd": (dtype, (batch, groups))}
    coupled = SOCS[soc].coupled
    done = run(
        "norm/group_norm_silu",
        "group_norm_silu",
        soc,
        dtype,
        inputs,
        outputs,
        tiling,
        key=key,
        blocks=used,
        partial=("mean", "rstd") if coupled else (),  # these keys write neither without DataCopyPad
    )
    x, gamma, beta = (exact(inputs[name], dtype) for name in ("x", "gamma", "beta"))
    (normal,) = evaluate("group_norm", [x, gamma, beta], {"groups": groups, "epsilon": EPSILON})
    check(done.outputs["silu"], normal / (1 + np.exp(-normal)), dtype)
    if dtype != "bfloat16":
        node = group_norm_node([inputs[name] for name in ("x", "gamma", "beta")], groups)
        check_built_in_work(node, soc, done)
    if coupled:
        return
    grouped = x.reshape(batch, groups, -1)
    check(done.outputs["mean"], grouped.mean(axis=2), dtype)
    check(done.outputs["rstd"], 1 / np.sqrt(grouped.var(axis=2) + EPSILON), dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
@pytest.mark.parametrize(("rows", "columns"), [(77, 768), (200, 1280), (3, 4096)])
def test_rms_norm(dtype: str, rows: int, columns: int) -> None:
    """Key 0: rows one after the other, as many as 64 of them to a copy of the statistics."""
    each, used, _ = parts(rows, SOCS["ascend910b"].vector_cores)
    tiling = {
        "num_row": rows,
        "num_col": columns,
        "num_col_align": ceil_div(columns, 16) * 16,
        "block_factor": each,
        "row_factor": 64,
        "ub_factor": 12288 if dtype != "float32" else 10240,
        "epsilon": EPSILON,
        "avg_factor": float(np.float32(1 / columns)),
    }
    unused = (
        *("reduce_mask", "left_num", "last_reduce_mask", "last_left_num", "rstd_size", "ub_loop", "col_buffer_length"),
        *("multi_n_num", "is_nddma", "is_gemma", "last_block_factor", "row_loop", "last_block_row_loop", "row_tail"),
        *("last_block_row_tail", "mul_loop", "mul_tail", "dst_rep_stride", "is_performance", "normal_flag"),
    )
    tiling |= dict.fromkeys(unused, 0)
    random = np.random.default_rng(1)
    inputs = {
        "x": stored(random.standard_normal((rows, columns)), dtype),
        "gamma": stored(1 + 0.1 * random.standard_normal(columns), dtype),
    }
    outputs = {"y": (dtype, (rows, columns)), "rstd": ("float32", (rows,))}
    done = run(
        "norm/rms_norm", "rms_norm", "ascend910b", dtype, inputs, outputs, tiling, blocks=used, workspace_bytes=1 << 12
    )
    x, gamma = exact(inputs["x"], dtype), exact(inputs["gamma"], dtype)
    rstd = 1 / np.sqrt(np.square(x).mean(axis=1) + EPSILON)
    check(done.outputs["rstd"], rstd, "float32")
    check(done.outputs["y"], x * rstd[:, None] * gamma, dtype)


@pytest.mark.parametrize("gate", ["second", "first"])
@pytest.mark.parametrize("approximate", ["tanh", "none"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_geglu(dtype: str, approximate: str, gate: str) -> None:
    """Rows to a core, as many at once as fit into 6144 elements; keys 1x1 are tanh and erf of whole blocks."""
    rows, half = 80, 1280
    each, used, last = parts(rows, SOCS["ascend910b"].vector_cores)
    at_once = 6144 // half
    key = {"float16": 101, "bfloat16": 201, "float32": 301}[dtype] + 10 * (approximate == "none")
    tiling = {
        "group": at_once,
        "loopNum": each // at_once,
        "tailLoopNum": last // at_once if last != each else 0,
        "nLastTailGroup": each % at_once,
        "lastTailGroup": last % at_once if last != each else 0,
        "splitSize": half,
        "realCoreNum": used,
        "numPerCore": each,
        "blockSize": 32 // np.dtype(stored(np.zeros(1), dtype).dtype).itemsize,
        "tilingKey": key,
        "activateLeft": int(gate == "first"),
        "ny": half,
        "approximate": int(approximate == "tanh"),
    }
    random = np.random.default_rng(2)
    x = stored(random.standard_normal((rows, 2 * half)), dtype)
    outputs = {"y": (dtype, (rows, half)), "gelu": (dtype, (rows, half))}
    done = run(
        "activation/ge_glu_v2", "ge_glu_v2", "ascend910b", dtype, {"x": x}, outputs, tiling, key=key, blocks=used
    )
    value, gated = np.split(exact(x, dtype), 2, axis=1)
    if gate == "first":
        value, gated = gated, value
    if approximate == "tanh":
        bell = np.tanh(math.sqrt(2 / math.pi) * (gated + 0.044715 * gated**3))
    else:
        bell = erf(gated / math.sqrt(2))
    gelu = 0.5 * gated * (1 + bell)
    if (approximate, gate, dtype) == ("tanh", "second", "float16"):
        check_built_in_work(make_node("geglu", [x], {"approximate": "tanh", "gate": "second"}), "ascend910b", done)
    for name, expected in (("gelu", gelu), ("y", value * gelu)):
        error = np.abs(exact(done.outputs[name], dtype) - expected)
        # erf is a polynomial of some 1e-4 there; y is a product of what was rounded.
        scale = {"float16": 4e-3, "float32": 3e-4, "bfloat16": 3e-2}[dtype]
        assert error.max() <= scale * max(1.0, np.abs(expected).max()), name


def test_a_tiling_that_does_not_fit_is_a_fault() -> None:
    """One field wrong: tiles beyond the unified buffer."""
    shape, tile = (1, 32, 16, 16), 1 << 16
    tiling = dict.fromkeys(("realCoreNum", "numPerCore", "numLastCore", "loopNum", "innerLoopNum", "activateSilu"), 1)
    tiling |= {"numGroups": 1, "hwNum": 256, "elemNum": 8192, "shapeC": 32, "shapeD": 32, "processSize": tile}
    tiling |= {"loopTail": 8192, "innerLoopTail": 256, "tilingKey": 1031, "epsilon": EPSILON}
    inputs = {"x": np.zeros(shape, np.float16), "gamma": np.ones(32, np.float16), "beta": np.zeros(32, np.float16)}
    outputs = {"silu": ("float16", shape), "mean": ("float16", (1, 1)), "rstd": ("float16", (1, 1))}
    with pytest.raises(SimulationError, match="UB"):
        run(
            "norm/group_norm_silu",
            "group_norm_silu",
            "ascend910b",
            "float16",
            inputs,
            outputs,
            tiling,
            key=1031,
            blocks=1,
        )
