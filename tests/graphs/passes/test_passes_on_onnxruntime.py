"""Every pass on another executor: onnxruntime computes the same before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graphs.onnx_modules import run_module
from graphs.passes.random_graphs import modules, random_inputs
from graphs.passes.test_goldens import GOLDEN, read
from hypothesis import HealthCheck, assume, given, settings

from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.decomposition import Decomposition
from coopdraw.graphs.passes.half_precision import HalfPrecision
from coopdraw.graphs.passes.manager import FixedPoint
from coopdraw.graphs.passes.pipelines import full_passes
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.weights import ArrayWeight

PASSES: dict[str, Pass] = {
    step.name: step for stage in full_passes() for step in (stage.passes if isinstance(stage, FixedPoint) else (stage,))
}


def numbers(type: TensorType, seed: int) -> np.ndarray:
    """Small numbers of any type."""
    if not type.dtype.is_floating:
        return np.ones(type.shape, type.dtype.numpy)
    return np.asarray(np.random.default_rng(seed).standard_normal(type.shape)).astype(type.dtype.numpy)


def assert_same(before: Module, after: Module, inputs: dict[str, np.ndarray], tolerance: float) -> None:
    def run(module: Module) -> dict[str, np.ndarray]:
        return run_module(module, {value.name: inputs[value.name] for value in module.entry.inputs})

    wanted, found = run(before), run(after)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance * max(1.0, np.abs(array).max()))


@pytest.mark.parametrize("name", PASSES)
def test_the_golden_module_computes_the_same(name: str) -> None:
    before = read(GOLDEN / f"{name}.before.txt")
    result = PASSES[name].run(before)
    assert result.modified
    inputs = {value.name: numbers(value.type, index) for index, value in enumerate(before.entry.inputs)}
    # float32 sums in another order, relative to the largest element; weights count up to some hundreds here.
    assert_same(before, result.module, inputs, 2e-5)


def test_half_precision_is_near() -> None:
    counting = read(GOLDEN / "half-precision.before.txt")
    # The golden's weights count up to thousands, whose products leave the range of float16.
    small = {name: ArrayWeight(weight.read() / weight.type.size) for name, weight in counting.weights.items()}
    before = replace(counting, weights=small)
    inputs = {value.name: numbers(value.type, index) for index, value in enumerate(before.entry.inputs)}
    # float16 has 11 bits; a dozen roundings of values of the largest element's size.
    assert_same(before, HalfPrecision().run(before).module, inputs, 1e-2)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(module=modules())
def test_random_modules_compute_the_same_after_all_passes(module: Module) -> None:
    operators = {node.operator for graph in module.graphs() for node in graph.nodes}
    assume(not operators & {"round", "cast"})  # they turn a rounding into a jump
    inputs = random_inputs(module)
    after = module
    for step in PASSES.values():
        after = step.run(after).module
    # Sums in another order; sin of a large argument keeps the absolute error.
    assert_same(module, after, inputs, 1e-4)
    assert_same(module, Decomposition().run(after).module, inputs, 1e-4)
