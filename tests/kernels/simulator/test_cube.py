"""The cube's basic API: copies into L1, fractals in L0A and L0B, Mmad, Fixpipe, and what it refuses."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import pytest

from coopdraw.kernels.simulator.build import Program, build_kernel
from coopdraw.kernels.simulator.simulation import SimulationError, simulate
from coopdraw.kernels.simulator.soc import SOCS
from coopdraw.runtime.errors import KernelBuildError

Array = np.ndarray[Any, np.dtype[Any]]

# One block: global memory to L1 as fractals, to L0A and L0B, multiplied, and back. `fault` makes one mistake.
PRODUCT = """
#include "kernel_operator.h"
using namespace AscendC;
constexpr uint32_t LANES = 32 / sizeof(OPERAND_TYPE);
constexpr uint32_t UpTo(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

Nd2NzParams Fractals(uint32_t rows, uint32_t columns)
{
    return Nd2NzParams(1, rows, columns, 0, columns, UpTo(rows, 16), 1, 0);
}

extern "C" __global__ __aicore__ void product(
    GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c, GM_ADDR workspace, GM_ADDR tiling)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    GET_TILING_DATA(t, tiling);
    GlobalTensor<OPERAND_TYPE> left, right;
    GlobalTensor<RESULT_TYPE> result;
    GlobalTensor<SUM_TYPE> bias_values;
    left.SetGlobalBuffer((__gm__ OPERAND_TYPE*)a);
    right.SetGlobalBuffer((__gm__ OPERAND_TYPE*)b);
    result.SetGlobalBuffer((__gm__ RESULT_TYPE*)c);
    if (t.bias) {
        bias_values.SetGlobalBuffer((__gm__ SUM_TYPE*)bias);
    }
    const uint32_t depth_unit = LANES == 8 && t.right_by_column ? 8 : LANES > 16 ? LANES : 16;
    const uint32_t m = UpTo(t.rows, 16), n = UpTo(t.columns, 16), k = UpTo(t.depth, depth_unit);
    const uint32_t l1_right = m * k * sizeof(OPERAND_TYPE), l1_bias = l1_right + k * n * sizeof(OPERAND_TYPE);
    LocalTensor<OPERAND_TYPE> a1(t.fault == 1 ? TPosition::VECIN : TPosition::A1, 0, m * k);
    LocalTensor<OPERAND_TYPE> b1(TPosition::B1, l1_right, k * n);
    LocalTensor<SUM_TYPE> c1(TPosition::C1, l1_bias, n), c2(TPosition::C2, 0, n);
    LocalTensor<OPERAND_TYPE> a2(TPosition::A2, t.fault == 2 ? 32 : 0, m * k), b2(TPosition::B2, 0, k * n);
    LocalTensor<SUM_TYPE> co1(TPosition::CO1, t.fault == 3 ? TOTAL_L0C_SIZE - 1024 : 0, m * n);

    DataCopy(a1, left, t.left_by_depth ? Fractals(t.depth, t.rows) : Fractals(t.rows, t.depth));
    DataCopy(b1, right, t.right_by_column ? Fractals(t.columns, t.depth) : Fractals(t.depth, t.columns));
    if (t.bias) {
        DataCopy(c1, bias_values, n);
    }
    if (t.fault != 4) {
        SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    }
    for (uint32_t row = 0; row < m / 16; ++row) {
        // Stored by depth, a column of fractals of (K, M) is a row of fractals of the left matrix, transposed.
        if (t.left_by_depth) {
            LoadData(a2[row * k * 16], a1[row * UpTo(t.depth, 16) * 16], LoadData2DParams(0, k / 16, 1, 0, 0, true, 0));
        } else {
            const uint16_t stride = t.fault == 5 ? 1 : m / 16;
            LoadData(a2[row * k * 16], a1[row * 16 * LANES], LoadData2DParams(0, k / LANES, stride, 0, 0, false, 0));
        }
    }
    if (t.right_by_column) {
        LoadData(b2, b1, LoadData2DParams(0, n / 16 * (k / LANES), 1, 0, 0, false, 0));
    }
    for (uint32_t row = 0; row < k / 16 && !t.right_by_column; ++row) {
        if (t.load_with_transpose) {
            LoadDataWithTranspose(b2[row * n * 16], b1[row * 256], LoadData2dTransposeParams(0, n / 16, k / 16, 0, 0));
        } else {
            LoadData(b2[row * n * 16], b1[row * 256], LoadData2DParams(0, n / 16, k / 16, 0, 0, t.fault != 6, 0));
        }
    }
    if (t.bias) {
        DataCopy(c2, c1, DataCopyParams(1, n * sizeof(SUM_TYPE) / 64, 0, 0));
    }
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    if (t.fault != 7) {
        WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    }
    const uint8_t unit = t.unit_flags ? 3 : 0;
    if (t.bias) {
        Mmad(co1, a2, b2, c2, MmadParams(t.rows, t.columns, t.depth, unit, false, false));
    } else {
        Mmad(co1, a2, b2, MmadParams(t.rows, t.columns, t.depth, unit, false, true));
    }
    for (int32_t again = 1; again < t.times; ++again) {
        if (t.fault != 8) {
            PipeBarrier<PIPE_M>();
        }
        Mmad(co1, a2, b2, MmadParams(t.rows, t.columns, t.depth, unit, false, false));
    }
    if (!t.unit_flags && t.fault != 9) {
        SetFlag<HardEvent::M_FIX>(EVENT_ID0);
        WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    }
    FixpipeParamsV220 out(t.columns, t.rows, m, t.fault == 10 ? t.columns + 8 : t.columns, t.relu != 0);
    out.quantPre = t.fault == 11 ? DEQF16 : QUANTISATION_MODE;
    out.unitFlag = unit;
    Fixpipe(result, co1, out);
}
"""

TILING = """struct ProductTiling {
    int32_t rows, columns, depth, times, left_by_depth, right_by_column, load_with_transpose, bias, relu, unit_flags;
    int32_t fault;
};"""


@dataclass(frozen=True)
class Product:
    rows: int = 40
    columns: int = 56
    depth: int = 72
    times: int = 1
    left_by_depth: int = 0
    right_by_column: int = 0
    load_with_transpose: int = 0
    bias: int = 0
    relu: int = 0
    unit_flags: int = 0
    fault: int = 0


# Products of float16 are exact in float32; their sum in another order differs in the last bits.
SUM_TOLERANCE = 2e-6


def build(operand: str = "half", sums: str = "float", result: str = "float", mode: str = "NoQuant") -> Program:
    types = {"OPERAND_TYPE": operand, "SUM_TYPE": sums, "RESULT_TYPE": result, "QUANTISATION_MODE": mode}
    return build_kernel(
        PRODUCT,
        "product",
        4,
        SOCS["ascend910b"],
        defines=types,
        cores="cube",
        tiling=TILING,
        tiling_struct="ProductTiling",
    )


@pytest.fixture(scope="module")
def halves() -> Program:
    return build()


def run(
    program: Program, product: Product, left: Array, right: Array, result: str = "float32", bias: Array | None = None
) -> Array:
    tiling = struct.pack("<11i", *astuple(product))
    stored_left = np.ascontiguousarray(left.T) if product.left_by_depth else left
    stored_right = np.ascontiguousarray(right.T) if product.right_by_column else right
    shape = (product.rows, product.columns)
    return simulate(program, [stored_left, stored_right, bias], [(shape, result)], tiling).outputs[0]


def operands(product: Product, dtype: str = "float16") -> tuple[Array, Array]:
    random = np.random.default_rng(product.rows * 10007 + product.columns * 101 + product.depth)
    shapes = (product.rows, product.depth), (product.depth, product.columns)
    if dtype == "int8":
        return random.integers(-128, 128, shapes[0], np.int8), random.integers(-128, 128, shapes[1], np.int8)
    return random.standard_normal(shapes[0]).astype(dtype), random.standard_normal(shapes[1]).astype(dtype)


def exact(left: Array, right: Array) -> Array:
    return left.astype(np.float64) @ right.astype(np.float64)


def check(actual: Array, left: Array, right: Array, times: int = 1) -> None:
    bound = SUM_TOLERANCE * times * np.abs(left.astype(np.float64)) @ np.abs(right.astype(np.float64))
    assert np.all(np.abs(actual - times * exact(left, right)) <= bound)


@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (40, 56, 72), (2, 5, 7), (128, 128, 128), (33, 240, 16)])
def test_product_of_float16(halves: Program, m: int, n: int, k: int) -> None:
    product = Product(m, n, k)
    left, right = operands(product)
    check(run(halves, product, left, right), left, right)


@pytest.mark.parametrize("left_by_depth", [0, 1])
@pytest.mark.parametrize("right", [{}, {"right_by_column": 1}, {"load_with_transpose": 1}])
def test_operands_stored_transposed(halves: Program, left_by_depth: int, right: dict[str, int]) -> None:
    product = Product(left_by_depth=left_by_depth, **right)
    a, b = operands(product)
    check(run(halves, product, a, b), a, b)


def test_sums_of_several_products_stay_in_l0c(halves: Program) -> None:
    product = Product(times=3)
    left, right = operands(product)
    check(run(halves, product, left, right), left, right, times=3)


def test_large_products_on_one_tile_need_no_barrier(halves: Program) -> None:
    """The hardware orders them from ten fractals on (Mmad, constraints)."""
    product = Product(rows=64, columns=64, times=2, fault=8)
    left, right = operands(product)
    check(run(halves, product, left, right), left, right, times=2)


def test_bias_table_starts_the_sums(halves: Program) -> None:
    product = Product(columns=64, bias=1)
    left, right = operands(product)
    bias = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    actual = run(halves, product, left, right, bias=bias)
    np.testing.assert_allclose(actual, exact(left, right) + bias, rtol=0, atol=1e-4)  # sums of 72 products, |sum| < 60


def test_int8_products_are_exact() -> None:
    product = Product(33, 48, 100, right_by_column=1)
    left, right = operands(product, "int8")
    actual = run(build("int8_t", "int32_t", "int32_t"), product, left, right, "int32")
    np.testing.assert_array_equal(actual, left.astype(np.int64) @ right.astype(np.int64))


def test_float32_products() -> None:
    product = Product(right_by_column=1)
    left, right = operands(product, "float32")
    check(run(build("float"), product, left, right), left, right)


def test_fixpipe_rounds_to_float16_and_clips() -> None:
    program = build(result="half", mode="F322F16")
    for relu in (0, 1):
        product = Product(relu=relu)
        left, right = operands(product)
        expected = np.maximum(exact(left, right), 0) if relu else exact(left, right)
        actual = run(program, product, left, right, "float16").astype(np.float64)
        # Half a unit in the last place of float16, beside the sum's own error.
        np.testing.assert_allclose(actual, expected, rtol=2.0**-11, atol=1e-4)


def test_unit_flags_order_mmad_and_fixpipe(halves: Program) -> None:
    product = Product(unit_flags=1)
    left, right = operands(product)
    check(run(halves, product, left, right), left, right)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (1, "argument|bounds", "L1|UB|no memory"),
        (2, "alignment|bounds", "multiples of 512|L0A"),
        (3, "bounds", "L0C"),
        (4, "hazard", "LoadData on pipe MTE1 touches L1"),
        (7, "hazard", "Mmad on pipe M touches L0"),
        (8, "hazard", r"PipeBarrier<PIPE_M>\(\)"),
        (9, "hazard", "Fixpipe on pipe FIX touches L0C"),
        (10, "bounds|uninitialised", "Fixpipe|output"),
        (11, "argument", "quantPre"),
    ],
)
def test_faults_are_caught(halves: Program, fault: int, kind: str, message: str) -> None:
    product = Product(times=2, fault=fault)
    with pytest.raises(SimulationError, match=message) as caught:
        run(halves, product, *operands(product))
    assert caught.value.kind in kind.split("|")


@pytest.mark.parametrize("fault", [5, 6])
def test_wrong_fractals_give_a_wrong_result_or_undefined_bytes(halves: Program, fault: int) -> None:
    product = Product(48, 64, 80, fault=fault)
    left, right = operands(product)
    actual = run(halves, product, left, right)
    assert np.max(np.abs(actual - exact(left, right))) > 1


def test_padding_of_fractals_must_not_reach_the_sums(halves: Program) -> None:
    """Rows that fill up the fractals of the right matrix are undefined: a depth that includes them is a fault."""
    product = Product(fault=5)
    with pytest.raises(SimulationError) as caught:
        run(halves, product, *operands(product))
    assert caught.value.kind == "uninitialised"


def test_tile_beyond_l0c_is_refused(halves: Program) -> None:
    product = Product(256, 256, 16)
    with pytest.raises(SimulationError, match="L0C") as caught:
        run(halves, product, *operands(product))
    assert caught.value.kind in ("bounds", "capacity")


def test_multiply_adds_of_whole_fractals_are_counted(halves: Program) -> None:
    product = Product(40, 56, 72)
    left, right = operands(product)
    tiling = struct.pack("<11i", *astuple(product))
    report = simulate(halves, [left, right, None], [((40, 56), "float32")], tiling).report
    assert report.total("multiply_adds") == 48 * 64 * 80
    assert report.total("global_bytes_read") == left.nbytes + right.nbytes


def test_unknown_types_are_compile_errors() -> None:
    with pytest.raises(KernelBuildError, match="Mmad"):
        build("int16_t")


def test_replaced_products_are_equal(halves: Program) -> None:
    """The same product from either storage of its operands has the same bits."""
    product = Product()
    left, right = operands(product)
    plain = run(halves, product, left, right)
    np.testing.assert_array_equal(plain, run(halves, replace(product, left_by_depth=1, right_by_column=1), left, right))


# 310P: L0C to UB on the vector pipe, as fractals, in float16 or float32.
COUPLED_PRODUCT = """
#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void product(GM_ADDR a, GM_ADDR b, GM_ADDR c, GM_ADDR workspace, GM_ADDR tiling)
{
    constexpr uint32_t m = 48, n = 32, k = 64;
    GlobalTensor<half> left, right;
    GlobalTensor<RESULT_TYPE> result;
    left.SetGlobalBuffer((__gm__ half*)a);
    right.SetGlobalBuffer((__gm__ half*)b);
    result.SetGlobalBuffer((__gm__ RESULT_TYPE*)c);
    LocalTensor<half> a1(TPosition::A1, 0, m * k), b1(TPosition::B1, m * k * 2, k * n);
    LocalTensor<half> a2(TPosition::A2, 0, m * k), b2(TPosition::B2, 0, k * n);
    LocalTensor<float> co1(TPosition::CO1, 0, m * n);
    LocalTensor<RESULT_TYPE> ub(TPosition::VECOUT, 0, m * n);
    DataCopy(a1, left, Nd2NzParams(1, m, k, 0, k, m, 1, 0));
    DataCopy(b1, right, Nd2NzParams(1, k, n, 0, n, k, 1, 0));
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    for (uint32_t row = 0; row < m / 16; ++row) {
        LoadData(a2[row * k * 16], a1[row * 256], LoadData2DParams(0, k / 16, m / 16, 0, 0, false, 0));
    }
    for (uint32_t row = 0; row < k / 16; ++row) {
        LoadData(b2[row * n * 16], b1[row * 256], LoadData2DParams(0, n / 16, k / 16, 0, 0, true, 0));
    }
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    Mmad(co1, a2, b2, MmadParams(m, n, k, 0, false, true));
    if (WAITS) {
        SetFlag<HardEvent::M_V>(EVENT_ID0);
        WaitFlag<HardEvent::M_V>(EVENT_ID0);
    }
    DataCopyEnhancedParams fractals;
    fractals.blockMode = BlockMode::BLOCK_MODE_MATRIX;
    DataCopy(ub, co1, DataCopyParams(n / 16, m / 16, 0, 0), fractals);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(result, ub, m * n);
}
"""


def run_coupled(result: str, dtype: str, *, waits: bool = True) -> tuple[Array, Array, Array]:
    left, right = operands(Product(48, 32, 64))
    program = build_kernel(
        COUPLED_PRODUCT, "product", 3, SOCS["ascend310p"], defines={"RESULT_TYPE": result, "WAITS": str(int(waits))}
    )
    fractals = simulate(program, [left, right], [((2, 48, 16), dtype)]).outputs[0]
    return fractals.transpose(1, 0, 2).reshape(48, 32), left, right


def test_310p_copies_results_to_ub() -> None:
    check(*run_coupled("float", "float32"))
    actual, left, right = run_coupled("half", "float16")
    # Half a unit in the last place of float16, beside the sum's own error.
    np.testing.assert_allclose(actual.astype(np.float64), exact(left, right), rtol=2.0**-11, atol=1e-4)


def test_310p_vector_pipe_waits_for_the_cube() -> None:
    with pytest.raises(SimulationError, match="pipe V touches L0C") as caught:
        run_coupled("float", "float32", waits=False)
    assert caught.value.kind == "hazard"
