"""What fusions of norms, gates and biases promise on random blocks, alone and one after the other."""

from __future__ import annotations

import pytest
from graphs.passes.fusions.equivalence import fuse
from graphs.passes.fusions.random_blocks import blocks
from graphs.passes.random_graphs import modules
from hypothesis import given, settings

from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.fusions.bias import BiasFusion
from coopdraw.graphs.passes.fusions.geglu import GegluFusion
from coopdraw.graphs.passes.fusions.gelu_core import GeluCore
from coopdraw.graphs.passes.fusions.group_norm import GroupNormFusion
from coopdraw.graphs.passes.fusions.group_norm_core import GroupNormCore
from coopdraw.graphs.passes.fusions.layer_norm import LayerNormFusion
from coopdraw.graphs.passes.fusions.layer_norm_core import LayerNormCore
from coopdraw.graphs.text import format_module

PASSES: tuple[Pass, ...] = (
    GroupNormCore(),
    LayerNormCore(),
    GeluCore(),
    BiasFusion(),
    GegluFusion(absorb_bias=True),
    GroupNormFusion(),
    LayerNormFusion(),
)
ANCHORS = {
    "group-norm-fusion": "group_norm",
    "layer-norm-fusion": "layer_norm",
    "geglu-fusion": "gelu",
    "bias-fusion": "add",
}
# Up to 14 steps, each of which rounds (6e-8) and may multiply an error: norms by at most 3 (epsilon is 0.1), products
# by the size of values, which sums and gates let grow to 100 or so.
TOLERANCE = 1e-3


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@settings(max_examples=80)
@given(module=blocks())
def test_each_pass_keeps_the_numbers(step: Pass, module: Module) -> None:
    result = fuse(step, module, tolerance=TOLERANCE)
    places = [miss.node for miss in result.misses]
    assert len(places) == len(set(places))
    if step.name in ANCHORS:
        assert all(f"({ANCHORS[step.name]}," in place for place in places)


@settings(max_examples=60)
@given(module=blocks())
def test_one_pass_after_the_other_keeps_the_numbers(module: Module) -> None:
    for step in PASSES:
        module = fuse(step, module, tolerance=TOLERANCE).module


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@settings(max_examples=40)
@given(module=blocks())
def test_same_module_gives_the_same_text_and_report(step: Pass, module: Module) -> None:
    first, second = step.run(module), step.run(module)
    assert format_module(first.module) == format_module(second.module)
    assert (first.rewrites, first.misses) == (second.rewrites, second.misses)


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@settings(max_examples=40)
@given(module=modules())
def test_modules_of_other_things_are_left_alone(step: Pass, module: Module) -> None:
    """Weights are no vectors along one axis there, and there are no norms: only calls, views and arithmetic."""
    result = step.run(module)
    assert not result.modified
    assert result.module is module
