"""Copies between memories against NumPy indexing."""

from __future__ import annotations

import numpy as np
import pytest
from kernels.simulator.simulator_kernels import built

from coopdraw.kernels.simulator.simulation import SimulationError, simulate

COUNT = 4096


def run(key: int, dtype: type[np.floating] = np.float32, partial: bool = False) -> tuple[np.ndarray, np.ndarray]:
    x = (np.random.default_rng(2).integers(-500, 500, COUNT)).astype(dtype)
    entry = "copies" if dtype is np.float32 else "copies_half"
    program = built("copies", 2, entry)
    outputs = [((COUNT,), dtype)]
    return x, simulate(program, [x], outputs, tiling_key=key, partial_outputs=[0] if partial else []).outputs[0]


def test_blocks_with_gaps() -> None:
    x, z = run(0)
    expected = x.copy()
    expected[:64] = x[:128].reshape(4, 32)[:, :16].reshape(-1)
    np.testing.assert_array_equal(z, expected)


def test_padded_rows() -> None:
    x, z = run(1)
    expected = np.full((512, 8), 7, np.float32)
    expected[:, :5] = x.reshape(512, 8)[:, :5]
    np.testing.assert_array_equal(z, expected.reshape(-1))


def test_rows_side_by_side() -> None:
    x, z = run(2)
    expected = x.copy()
    expected[: 512 * 5] = x.reshape(512, 8)[:, :5].reshape(-1)
    np.testing.assert_array_equal(z, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_atomic_add(dtype: type[np.floating]) -> None:
    x, z = run(3, dtype)
    # Integers up to 1001 are exact in float16 too.
    np.testing.assert_array_equal(z, 1 + x + x)


def test_atomic_max() -> None:
    x, z = run(4)
    np.testing.assert_array_equal(z, np.maximum(x, 0))


def test_atomic_add_to_nothing() -> None:
    with pytest.raises(SimulationError, match="nothing wrote") as caught:
        run(5)
    assert caught.value.kind == "uninitialised"


def test_padding_without_value_is_undefined() -> None:
    with pytest.raises(SimulationError, match="byte 0") as caught:
        run(6, partial=True)
    assert caught.value.kind == "uninitialised"


def test_nd_to_nz() -> None:
    x = np.random.default_rng(3).standard_normal((48, 40)).astype(np.float16)
    program = built("copies", 2, "nd_to_nz", cores="cube")
    z = simulate(program, [x], [((3, 48, 16), np.float16)]).outputs[0]
    padded = np.zeros((48, 48), np.float16)
    padded[:, :40] = x
    np.testing.assert_array_equal(z, padded.reshape(48, 3, 16).transpose(1, 0, 2))


def test_padded_copies_do_not_exist_on_310p() -> None:
    program = built("copies", 2, soc="ascend310p")
    with pytest.raises(SimulationError, match="DataCopyPad does not exist") as caught:
        simulate(program, [np.zeros(COUNT, np.float32)], [((COUNT,), np.float32)], tiling_key=1)
    assert caught.value.kind == "argument"
