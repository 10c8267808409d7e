"""The Ascend kernel of linear_combination, simulated on all its cores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernels.ascend.nodes import assert_close, normal, program
from kernels.calling import make_node, reference

from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.simulation import simulate_program
from coopdraw.kernels.linear_combination.ascend import ASCEND
from coopdraw.kernels.simulator.simulation import SimulationError
from coopdraw.kernels.simulator.soc import SOCS


def operands(count: int, shape: tuple[int, ...], dtype: str, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [normal(random, shape, dtype) for _ in range(count)]


@pytest.mark.parametrize(
    ("soc", "dtype"), [("ascend910b", "float16"), ("ascend910b", "float32"), ("ascend310p", "float16")]
)
@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 40), max_size=3),
    weights=st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
def test_any_shape_that_is_not_refused(soc: str, dtype: str, shape: list[int], weights: list[float], seed: int) -> None:
    if soc == "ascend310p":
        shape = [*shape, 16]
    inputs = operands(len(weights), tuple(shape), dtype, seed)
    node = make_node("linear_combination", inputs, {"weights": tuple(weights)})
    assume(ASCEND.refusal(node, SOCS[soc]) is None)
    simulation = simulate_program(program(ASCEND, DType(dtype), soc), ASCEND, node, inputs)
    (expected,) = reference("linear_combination", inputs, **node.attributes)
    # Eight products of up to 8 times 4, each rounded to float32: 8 * 32 * 2^-24.
    assert_close(simulation.outputs[0], expected, arithmetic=2e-5)


@pytest.mark.parametrize(
    ("soc", "layout"),
    [(soc, Layout.CANN9) for soc in SOCS] + [("ascend910b", Layout.CANN8)],
)
def test_guidance_and_step_of_a_latent(soc: str, layout: Layout) -> None:
    inputs = operands(3, (1, 4, 128, 128), "float16")
    node = make_node("linear_combination", inputs, {"weights": (0.9, 3.75, -2.75)})
    simulation = simulate_program(program(ASCEND, DType.FLOAT16, soc, layout), ASCEND, node, inputs)
    (output,) = simulation.outputs
    assert_close(output, reference("linear_combination", inputs, **node.attributes)[0])
    report = simulation.report
    moved = report.total("global_bytes_read") + report.total("global_bytes_written")
    assert moved == sum(array.nbytes for array in (*inputs, output))
    assert len(report.cores) >= 0.85 * SOCS[soc].vector_cores  # 64 Ki elements, cut at multiples of 512 bytes


def test_several_tiles_a_core() -> None:
    inputs = operands(8, (1, 16, 250, 251), "float32")
    node = make_node("linear_combination", inputs, {"weights": (0.5, -1.5) * 4})
    simulation = simulate_program(program(ASCEND, DType.FLOAT32, "ascend910b"), ASCEND, node, inputs)
    assert_close(simulation.outputs[0], reference("linear_combination", inputs, **node.attributes)[0])


def test_half_precision_sums_are_rounded_once() -> None:
    """1 + 2^-11 - 1 is 0 when every sum is rounded to float16."""
    inputs = [np.full((64,), value, np.float16) for value in (1, 2**-11, 1)]
    node = make_node("linear_combination", inputs, {"weights": (1.0, 1.0, -1.0)})
    simulation = simulate_program(program(ASCEND, DType.FLOAT16, "ascend910b"), ASCEND, node, inputs)
    assert (simulation.outputs[0] == np.float16(2**-11)).all()


@pytest.mark.parametrize(
    ("count", "shape", "soc", "part"),
    [
        (9, (16,), "ascend910b", "there are 9 operands"),
        (2, (3, 5), "ascend310p", "copies multiples of 32 bytes only"),
        (2, (0,), "ascend910b", "which has no elements"),
    ],
)
def test_refusals(count: int, shape: tuple[int, ...], soc: str, part: str) -> None:
    node = make_node("linear_combination", operands(count, shape, "float16"), {"weights": (1.0,) * count})
    assert part in (ASCEND.refusal(node, SOCS[soc]) or "")


def test_what_is_refused_would_be_stopped() -> None:
    """A copy that is no whole blocks on a processor without padded copies."""
    inputs = operands(2, (3, 5), "float16")
    node = make_node("linear_combination", inputs, {"weights": (1.0, 1.0)})
    assert ASCEND.refusal(node, SOCS["ascend310p"]) is not None
    with pytest.raises(SimulationError, match="DataCopy") as caught:
        simulate_program(program(ASCEND, DType.FLOAT16, "ascend310p"), ASCEND, node, inputs)
    assert caught.value.kind == "alignment"
