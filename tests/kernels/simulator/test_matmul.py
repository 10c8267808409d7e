"""The Matmul high-level API: values, the rules of its tiling, its traffic, and the order of vector and cube cores."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pytest

from coopdraw.kernels.simulator.build import Program, build_kernel
from coopdraw.kernels.simulator.simulation import Simulation, SimulationError, Synchronisation, simulate
from coopdraw.kernels.simulator.soc import SOCS

Array = np.ndarray[Any, np.dtype[Any]]

# Each mode is one way to call Matmul, on every vector core with its own rows of A and C. `fault` makes one mistake.
KERNEL = """
#include "kernel_operator.h"
#include "lib/matmul_intf.h"
using namespace AscendC;

using Half = MatmulType<TPosition::GM, CubeFormat::ND, half, true>;
using Float = MatmulType<TPosition::GM, CubeFormat::ND, float>;
using AlignedHalf = MatmulType<TPosition::GM, CubeFormat::ND_ALIGN, half>;
using LocalHalf = MatmulType<TPosition::VECOUT, CubeFormat::ND, half>;
using LocalFloat = MatmulType<TPosition::VECIN, CubeFormat::ND, float>;

constexpr int32_t LOCAL_BYTES = 64 * 1024;

struct Operands {
    GlobalTensor<half> a, b, copy;
    GlobalTensor<float> bias, c, scratch;
    GlobalTensor<half> halves;
    int32_t rows;
};

template <class Object>
__aicore__ inline void SetUp(Object& mm, const Operands& o, const MatmulTestTiling& t)
{
    if (t.fault == 1) {
        mm.SetTensorA(o.a, t.transpose_a != 0);
    }
    mm.SetOrgShape(t.transpose_a ? t.all_rows : o.rows, t.row_step_b, t.row_step_a, t.row_step_b, t.columns);
    mm.SetTail(o.rows, t.columns, t.depth);
    mm.SetTensorA(o.a, t.transpose_a != 0);
    mm.SetTensorB(o.b, t.transpose_b != 0);
    if (t.bias) {
        mm.SetBias(o.bias);
    }
}

__aicore__ inline void Whole(TPipe& pipe, Operands& o, const MatmulTestTiling& t)
{
    Matmul<Half, Half, Float, Float> mm;
    REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &t.cube);
    SetUp(mm, o, t);
    if (t.mode == 0) {
        mm.IterateAll(o.c);
    } else {
        while (mm.Iterate()) {
            mm.GetTensorC(o.c);
        }
    }
    mm.End();
}

// The vector core adds one to what the cube made in the workspace.
__aicore__ inline void Asynchronous(TPipe& pipe, Operands& o, const MatmulTestTiling& t)
{
    Matmul<Half, Half, Float> mm;
    REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &t.cube);
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    const int32_t count = o.rows * t.columns;
    pipe.InitBuffer(in, 1, count * sizeof(float));
    pipe.InitBuffer(out, 1, count * sizeof(float));
    SetUp(mm, o, t);
    mm.template IterateAll<false>(o.scratch, 0, false, true);
    if (t.fault == 2) {
        DataCopy(o.a, out.AllocTensor<half>(), 16);
    }
    if (t.fault != 3) {
        mm.WaitIterateAll();
    }
    if (t.fault == 4) {
        mm.WaitIterateAll();
    }
    LocalTensor<float> product = in.AllocTensor<float>();
    DataCopy(product, o.scratch, count);
    in.EnQue(product);
    product = in.DeQue<float>();
    LocalTensor<float> sum = out.AllocTensor<float>();
    Adds(sum, product, 1.0f, count);
    in.FreeTensor(product);
    out.EnQue(sum);
    sum = out.DeQue<float>();
    DataCopy(o.c, sum, count);
    out.FreeTensor(sum);
}

// The cube multiplies what the vector core wrote: twice A.
__aicore__ inline void Chained(TPipe& pipe, Operands& o, const MatmulTestTiling& t)
{
    Matmul<Half, Half, Float> mm;
    REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &t.cube);
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    const int32_t count = o.rows * t.depth;
    pipe.InitBuffer(in, 1, count * sizeof(half));
    pipe.InitBuffer(out, 1, count * sizeof(half));
    LocalTensor<half> a = in.AllocTensor<half>();
    DataCopy(a, o.a, count);
    in.EnQue(a);
    a = in.DeQue<half>();
    LocalTensor<half> twice = out.AllocTensor<half>();
    Adds(twice, a, static_cast<half>(0), count);
    PipeBarrier<PIPE_V>();
    Add(twice, twice, a, count);
    in.FreeTensor(a);
    out.EnQue(twice);
    twice = out.DeQue<half>();
    DataCopy(o.copy, twice, count);
    out.FreeTensor(twice);
    if (t.fault != 5) {
        SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
        WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
    }
    SetUp(mm, o, t);
    mm.SetTensorA(o.copy);
    mm.IterateAll(o.c);
    mm.End();
}

__aicore__ inline void FromLocal(TPipe& pipe, Operands& o, const MatmulTestTiling& t)
{
    Matmul<LocalHalf, Half, LocalFloat> mm;
    REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &t.cube);
    TQue<TPosition::VECIN, 1> in, products;
    TQue<TPosition::VECOUT, 1> out, results;
    const int32_t count = o.rows * t.depth, block = t.cube.baseM * t.cube.baseN;
    pipe.InitBuffer(in, 1, count * sizeof(half));
    pipe.InitBuffer(out, 1, count * sizeof(half));
    pipe.InitBuffer(products, 1, block * sizeof(float));
    pipe.InitBuffer(results, 1, block * sizeof(float));
    LocalTensor<half> a = in.AllocTensor<half>();
    DataCopy(a, o.a, count);
    in.EnQue(a);
    a = in.DeQue<half>();
    LocalTensor<half> left = out.AllocTensor<half>();
    Adds(left, a, static_cast<half>(0), count);
    in.FreeTensor(a);
    mm.SetOrgShape(o.rows, t.row_step_b, t.depth, t.row_step_b, t.columns);
    mm.SetTail(o.rows, t.columns, t.depth);
    mm.SetTensorA(left);
    mm.SetTensorB(o.b, t.transpose_b != 0);
    for (int32_t index = 0; mm.Iterate(); ++index) {
        LocalTensor<float> product = products.AllocTensor<float>();
        mm.GetTensorC(product, 0, true);
        LocalTensor<float> result = results.AllocTensor<float>();
        Adds(result, product, 0.0f, block);
        products.FreeTensor(product);
        results.EnQue(result);
        result = results.DeQue<float>();
        DataCopyParams rows(o.rows, t.cube.baseN / 8, 0, (t.columns - t.cube.baseN) / 8);
        DataCopy(o.c[index * t.cube.baseN], result, rows);
        results.FreeTensor(result);
    }
    out.FreeTensor(left);
    mm.End();
}

__aicore__ inline void Aligned(TPipe& pipe, Operands& o, const MatmulTestTiling& t)
{
    Matmul<Half, Half, AlignedHalf, Float> mm;
    Matmul<Half, Half, Float> other;
    REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &t.cube, other, &t.cube);
    SetUp(mm, o, t);
    mm.IterateAll(o.halves);
    if (t.fault != 6) {
        mm.End();
    }
    SetUp(other, o, t);
    other.IterateAll(o.c, t.mode == 6 ? 1 : 0);
    other.End();
}

extern "C" __global__ __aicore__ void products(
    GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c, GM_ADDR halves, GM_ADDR workspace, GM_ADDR tiling)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    GET_TILING_DATA(t, tiling);
    const int32_t core = GetBlockIdx();
    const int64_t begin = t.fault == 7 ? 0 : core * t.rows_per_core;
    Operands o;
    o.rows = begin + t.rows_per_core <= t.all_rows ? t.rows_per_core : static_cast<int32_t>(t.all_rows - begin);
    o.a.SetGlobalBuffer((__gm__ half*)a + (t.transpose_a ? begin : begin * t.row_step_a));
    o.b.SetGlobalBuffer((__gm__ half*)b);
    if (bias != nullptr) {
        o.bias.SetGlobalBuffer((__gm__ float*)bias);
    }
    o.c.SetGlobalBuffer((__gm__ float*)c + begin * t.columns);
    o.halves.SetGlobalBuffer((__gm__ half*)halves + begin * ((t.columns + 15) / 16 * 16));
    GM_ADDR own = GetUserWorkspace(workspace) + core * t.rows_per_core * (t.columns + t.depth) * 4;
    o.scratch.SetGlobalBuffer((__gm__ float*)own);
    o.copy.SetGlobalBuffer((__gm__ half*)(own + t.rows_per_core * t.columns * 4));
    TPipe pipe;
    if (o.rows <= 0) {
        o.rows = 0;
    }
    switch (t.mode) {
        case 0:
        case 1: Whole(pipe, o, t); break;
        case 2: Asynchronous(pipe, o, t); break;
        case 3: Chained(pipe, o, t); break;
        case 4: FromLocal(pipe, o, t); break;
        default: Aligned(pipe, o, t); break;
    }
}
"""

TILING = """#include "lib/matmul_intf.h"
struct MatmulTestTiling {
    TCubeTiling cube;
    int32_t mode, fault, all_rows, rows_per_core, columns, depth, row_step_a, row_step_b, transpose_a, transpose_b;
    int32_t bias, unused;
};"""

WHOLE, BLOCKS, ASYNCHRONOUS, CHAINED, LOCAL, ALIGNED, ATOMIC = range(7)

CUBE_FIELDS = (
    "usedCoreNum",
    "M",
    "N",
    "Ka",
    "Kb",
    "singleCoreM",
    "singleCoreN",
    "singleCoreK",
    "baseM",
    "baseN",
    "baseK",
    "depthA1",
    "depthB1",
    "stepM",
    "stepN",
    "isBias",
    "transLength",
    "iterateOrder",
    "shareMode",
    "shareL1Size",
    "shareL0CSize",
    "shareUbSize",
    "batchM",
    "batchN",
    "singleBatchM",
    "singleBatchN",
    "stepKa",
    "stepKb",
    "depthAL1CacheUB",
    "depthBL1CacheUB",
    "dbL0A",
    "dbL0B",
    "dbL0C",
)

LIBRARY_WORKSPACE = 16 << 20
"""What GetUserWorkspace leaves to the library, in bytes."""

# Sums of float16 products in float32, in whatever order: relative to the sum of magnitudes.
SUM_TOLERANCE = 2e-6


@dataclass(frozen=True)
class Options:
    mode: int = WHOLE
    fault: int = 0
    all_rows: int = 96
    rows_per_core: int = 48
    columns: int = 80
    depth: int = 72
    row_step_a: int = 72
    row_step_b: int = 80
    transpose_a: int = 0
    transpose_b: int = 0
    bias: int = 0
    unused: int = 0


def cube_tiling(options: Options, changes: Mapping[str, int]) -> bytes:
    values = dict.fromkeys(CUBE_FIELDS, 0) | {
        "usedCoreNum": 2,
        "M": options.rows_per_core,
        "N": options.columns,
        "Ka": options.depth,
        "Kb": options.depth,
        "singleCoreM": options.rows_per_core,
        "singleCoreN": options.columns,
        "singleCoreK": options.depth,
        "baseM": 48,
        "baseN": 32,
        "baseK": 32,
        "depthA1": 6,
        "depthB1": 6,
        "stepM": 1,
        "stepN": 1,
        "stepKa": 3,
        "stepKb": 3,
        "isBias": options.bias,
        "dbL0A": 2,
        "dbL0B": 2,
        "dbL0C": 1,
    }
    return struct.pack("<50i", *(values | dict(changes)).values(), *[0] * (50 - len(CUBE_FIELDS)))


@pytest.fixture(scope="module")
def program() -> Program:
    return build_kernel(
        KERNEL, "products", 5, SOCS["ascend910b"], cores="mixed", tiling=TILING, tiling_struct="MatmulTestTiling"
    )


def operands(options: Options) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(1)
    shapes = (options.all_rows, options.depth), (options.depth, options.columns), (options.columns,)
    left, right, bias = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    return left.astype(np.float16), right.astype(np.float16), bias


def run(program: Program, options: Options, synchronisation: Synchronisation = "strict", **changes: int) -> Simulation:
    left, right, bias = operands(options)
    inputs = [
        np.ascontiguousarray(left.T) if options.transpose_a else left,
        np.ascontiguousarray(right.T) if options.transpose_b else right,
        bias if options.bias else None,
    ]
    aligned = (options.all_rows, (options.columns + 15) // 16 * 16)
    return simulate(
        program,
        inputs,
        [((options.all_rows, options.columns), "float32"), (aligned, "float16")],
        cube_tiling(options, changes) + struct.pack("<12i", *astuple(options)),
        cores=-(-options.all_rows // options.rows_per_core) // 2,
        workspace_bytes=LIBRARY_WORKSPACE + options.all_rows * (options.columns + options.depth) * 4,
        synchronisation=synchronisation,
        partial_outputs=[0, 1],
    )


def check(actual: Array, options: Options, *, twice: bool = False) -> None:
    left, right, bias = (array.astype(np.float64) for array in operands(options))
    expected = (2 if twice else 1) * left @ right + (bias if options.bias else 0)
    bound = SUM_TOLERANCE * (2 * np.abs(left) @ np.abs(right) + np.abs(bias))
    assert np.all(np.abs(actual - expected) <= bound)


@pytest.mark.parametrize("mode", [WHOLE, BLOCKS])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("transposed", [{}, {"transpose_a": 1, "row_step_a": 96}, {"transpose_b": 1, "row_step_b": 72}])
def test_products(program: Program, mode: int, order: int, transposed: dict[str, int]) -> None:
    options = Options(mode, **transposed)
    check(run(program, options, iterateOrder=order).outputs[0], options)


@pytest.mark.parametrize("mode", [WHOLE, BLOCKS])
def test_bias_is_added_to_every_row(program: Program, mode: int) -> None:
    options = Options(mode, bias=1)
    check(run(program, options).outputs[0], options)


def test_sizes_that_divide_nothing(program: Program) -> None:
    options = Options(BLOCKS, all_rows=37 * 2, rows_per_core=37, columns=77, depth=45, row_step_a=45, row_step_b=77)
    check(run(program, options).outputs[0], options)


def test_vector_core_waits_for_an_asynchronous_product(program: Program) -> None:
    options = Options(ASYNCHRONOUS)
    check(run(program, options).outputs[0] - 1, options)


def test_cube_multiplies_what_the_vector_core_wrote(program: Program) -> None:
    options = Options(CHAINED)
    check(run(program, options).outputs[0], options, twice=True)


def test_operand_and_result_in_ub(program: Program) -> None:
    options = Options(LOCAL, columns=64, depth=64, row_step_a=64, row_step_b=64)
    check(run(program, options).outputs[0], options)


def test_rows_of_a_local_operand_fill_32_bytes(program: Program) -> None:
    """Rows of 72 elements one after the other are none: the last ones are missing."""
    with pytest.raises(SimulationError, match="3832 elements of a local tensor of 3456") as caught:
        run(program, Options(LOCAL, columns=64, row_step_b=64))
    assert caught.value.kind == "bounds"


def test_aligned_rows_end_in_garbage(program: Program) -> None:
    options = Options(ALIGNED, columns=77, row_step_b=77)
    left, right, _ = (array.astype(np.float64) for array in operands(options))
    halves = run(program, options).outputs[1].astype(np.float64)
    # Half a unit in the last place of float16, beside the sum's own error.
    np.testing.assert_allclose(halves[:, :77], left @ right, rtol=2.0**-11, atol=1e-4)
    assert np.isnan(halves[:, 77:]).all()


def test_atomic_addition_needs_a_start(program: Program) -> None:
    with pytest.raises(SimulationError) as caught:
        run(program, Options(ATOMIC))
    assert caught.value.kind == "uninitialised"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (Options(fault=1), "argument", "SetOrgShape comes after SetTensorA"),
        (Options(ASYNCHRONOUS, fault=2), "uninitialised|race|hazard", "DataCopy"),
        (Options(ASYNCHRONOUS, fault=3), "race", "DataCopy on pipe MTE2 touches the workspace .* pipe FIX"),
        (Options(ASYNCHRONOUS, fault=4), "deadlock", "WaitIterateAll waits for ever"),
        (Options(CHAINED, fault=5), "race", "Matmul on pipe MTE2 touches the workspace .* pipe MTE3"),
        (Options(ALIGNED, fault=6), "argument", "call End"),
        (Options(fault=7, rows_per_core=24), "race", "Matmul on pipe FIX touches"),
        (Options(transpose_a=0, row_step_a=71), "argument", "72 columns of a matrix that has 71"),
        (Options(depth=72, row_step_a=72, all_rows=96, row_step_b=96), "bounds", "Matmul"),
    ],
)
def test_mistakes_of_the_caller_are_caught(program: Program, options: Options, kind: str, message: str) -> None:
    with pytest.raises(SimulationError, match=message) as caught:
        run(program, options)
    assert caught.value.kind in kind.split("|")


def test_automatic_synchronisation_counts_on_the_order_of_messages(program: Program) -> None:
    """The message to the cube travels behind the copies of the same vector core."""
    options = Options(CHAINED, fault=5)
    check(run(program, options, "automatic").outputs[0], options, twice=True)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"baseM": 512, "baseK": 64}, "capacity", "L0A"),
        ({"baseN": 512, "baseK": 64}, "capacity", "L0B"),
        ({"baseM": 256, "baseN": 256}, "capacity", "L0C"),
        ({"depthA1": 400, "stepKa": 200}, "capacity", "L1"),
        ({"depthA1": 5}, "argument", "depthA1 is 5, but stepM"),
        ({"depthB1": 5}, "argument", "depthB1 is 5, but stepN"),
        ({"baseM": 24}, "argument", "multiple of 16"),
        ({"baseK": 8}, "argument", "multiple of 16"),
        ({"stepM": 0}, "argument", "stepM is 0"),
        ({"dbL0C": 3}, "argument", "dbL0C"),
        ({"iterateOrder": 2}, "argument", "iterateOrder"),
        ({"isBias": 1, "baseN": 512, "baseM": 16, "baseK": 16}, "capacity", "bias table"),
    ],
)
def test_tilings_that_break_a_rule(program: Program, changes: dict[str, int], kind: str, message: str) -> None:
    with pytest.raises(SimulationError, match=message) as caught:
        run(program, Options(), **changes)
    assert caught.value.kind == kind


def test_traffic_is_that_of_the_tiling(program: Program) -> None:
    """What L1 can't hold is read again: A for every block of columns, unless its depth of blocks suffices."""
    options = Options()
    left = options.all_rows * options.depth * 2
    right = 2 * options.columns * options.depth * 2  # each of two cores
    column_blocks = 3

    def read(**changes: int) -> int:
        return run(program, options, **changes).report.total("global_bytes_read", "MTE2")

    assert read() == left + right  # three blocks along the depth of A and B, twice, are in L1
    assert read(depthA1=2, stepKa=1) == left * column_blocks + right
    report = run(program, options).report
    assert report.total("multiply_adds", "M") == 2 * 48 * 80 * 80
    assert report.total("global_bytes_written", "FIX") == options.all_rows * options.columns * 4
    assert {core.kind for core in report.cores if "M" in core.pipes} == {"cube"}
