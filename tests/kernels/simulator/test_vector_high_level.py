"""High-level activations, broadcasts and row sums, and types that the compiler refuses by name."""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import pytest
from kernels.simulator.vector_cases import DST, SRC0, Case, image_of, run, view

from coopdraw.kernels.simulator.build import build_kernel
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS
from coopdraw.runtime.errors import KernelBuildError

KERNEL = "vector_high_level"
TYPES = {0: np.float16, 1: np.float32}
WORK = 12288
ACTIVATIONS = {
    0: lambda x: 1 / (1 + np.exp(-x)),
    1: lambda x: x / (1 + np.exp(-x)),
    2: lambda x: x / (1 + np.exp(-1.5 * x)),
    3: lambda x: x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    4: lambda x: x / (1 + np.exp(-1.702 * x)),
    5: np.tanh,
    6: np.vectorize(erf),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("operation", ACTIVATIONS)
def test_activations(kind: int, operation: int) -> None:
    values = np.random.default_rng(1).normal(0, 3, 300).astype(TYPES[kind])
    case = Case(type=kind, operation=operation, count=300, scalar=1.5, extra=(WORK, 0, 0, 0), returned_bytes=WORK)
    after = view(run(KERNEL, case, image_of({SRC0: values})), DST, TYPES[kind], 300)
    # One rounding of the formula in double; the device's own approximations differ (docs/simulator-vector.md).
    wanted = ACTIVATIONS[operation](values.astype(np.float64))
    limits = np.finfo(TYPES[kind])
    np.testing.assert_allclose(after, wanted, rtol=2 * limits.eps, atol=limits.smallest_subnormal)


def tree(row: np.ndarray[Any, Any]) -> Any:
    padded = np.r_[row, np.zeros(-len(row) % 64, row.dtype)].reshape(-1, 64)
    sums = padded
    while sums.shape[1] > 1:
        sums = sums[:, ::2] + sums[:, 1::2]
    column = sums[:, 0]
    column = np.r_[column, np.zeros(64 - len(column), row.dtype)]
    while len(column) > 1:
        column = column[::2] + column[1::2]
    return column[0]


def test_rows() -> None:
    matrix = np.random.default_rng(2).normal(0, 1, (5, 104)).astype(np.float32)
    image = image_of({SRC0: matrix})
    case = Case(type=1, count=100, extra=(WORK, 5, 104, 0), returned_bytes=WORK)
    sums = np.array([tree(row[:100]) for row in matrix], np.float32)
    after = run(KERNEL, Case(**{**vars(case), "operation": 12}), image)
    np.testing.assert_array_equal(view(after, DST, np.float32, 5), sums)
    after = run(KERNEL, Case(**{**vars(case), "operation": 13}), image)
    np.testing.assert_array_equal(view(after, DST, np.float32, 5), sums * (np.float32(1) / np.float32(100)))
    after = run(KERNEL, Case(**{**vars(case), "operation": 10}), image)
    columns = np.repeat(matrix.reshape(-1)[:5, None], 104, 1)
    np.testing.assert_array_equal(view(after, DST, np.float32, 520).reshape(5, 104), columns)
    after = run(KERNEL, Case(**{**vars(case), "operation": 11}), image)
    np.testing.assert_array_equal(view(after, DST, np.float32, 520).reshape(5, 104), np.repeat(matrix[:1], 5, 0))


def test_source_and_destination_must_be_apart() -> None:
    with pytest.raises(SimulationError, match="Tanh"):
        run(KERNEL, Case(type=1, operation=5, count=64, dst=SRC0), image_of({SRC0: np.zeros(64, np.float32)}))


UNSUPPORTED = [
    ("Add: T must be one of", "ascend910b", "LocalTensor<uint8_t> x; Add(x, x, x, 8);"),
    ("Exp: T must be one of half, float", "ascend910b", "LocalTensor<int32_t> x; Exp(x, x, 8);"),
    ("Cast: no conversion", "ascend910b", "LocalTensor<half> x; LocalTensor<bfloat16_t> y; Cast(y, x, TO_EVEN, 8);"),
    ("Cast: no conversion", "ascend310p", "LocalTensor<float> x; LocalTensor<bfloat16_t> y; Cast(y, x, TO_EVEN, 8);"),
    ("MulAddDst", "ascend910b", "LocalTensor<half> x; LocalTensor<float> y; MulAddDst(x, y, y, 8);"),
    ("CreateVecIndex", "ascend310p", "LocalTensor<half> x; CreateVecIndex(x, (half)0, 8u);"),
    ("Gatherb", "ascend310p", "LocalTensor<uint16_t> x; LocalTensor<uint32_t> y; Gatherb(x, x, y, 1, {1, 8});"),
    ("Scatter", "ascend910b", "LocalTensor<half> x; LocalTensor<uint32_t> y; Scatter(x, x, y, 0u, 8u);"),
    ("Truncate", "ascend910b", "LocalTensor<float> x; Truncate<float, RoundMode::CAST_RINT>(x, x, 8);"),
    # Scalars must have the tensors' type, as the public prototypes want it.
    ("Adds", "ascend910b", "LocalTensor<half> x; Adds(x, x, 1.0f, 8);"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "soc", "body"), UNSUPPORTED)
def test_what_the_soc_does_not_have_is_a_compile_error(words: str, soc: str, body: str) -> None:
    source = (
        '#include "kernel_operator.h"\nusing namespace AscendC;\n'
        "constexpr RoundMode TO_EVEN = RoundMode::CAST_RINT;\n"
        'extern "C" __global__ __aicore__ void unsupported(GM_ADDR input, GM_ADDR workspace, GM_ADDR tiling) '
        f"{{ {body} }}"
    )
    with pytest.raises(KernelBuildError, match=words):
        build_kernel(source, "unsupported", 1, SOCS[soc])
