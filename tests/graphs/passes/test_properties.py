"""What every pass promises, on random modules: the same bits, a valid module, the same text every time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.common_subexpressions import CommonSubexpressions
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.fold_constant_arguments import FoldConstantArguments
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.passes.manager import PassManager
from coopdraw.graphs.passes.pipelines import basic_passes
from coopdraw.graphs.text import format_module
from coopdraw.graphs.verifier import verify

from .random_graphs import assert_same_bits, modules, random_inputs, run

LOCAL_PASSES: tuple[Pass, ...] = (ConstantFolding(), IdentityRemoval(), CommonSubexpressions(), DeadCode())
"""Passes that find everything in one run; folding an argument can make arguments of other functions constant."""
PASSES: tuple[Pass, ...] = (*LOCAL_PASSES, FoldConstantArguments())

EXAMPLES = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@EXAMPLES
@given(module=modules())
def test_pass_keeps_every_bit(step: Pass, module: Module) -> None:
    inputs = random_inputs(module)
    result = step.run(module)
    verify(result.module)
    assert_same_bits(run(result.module, inputs), run(module, inputs))


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@EXAMPLES
@given(module=modules())
def test_modified_says_whether_the_text_changed(step: Pass, module: Module) -> None:
    result = step.run(module)
    assert result.modified == (format_module(result.module) != format_module(module))
    assert result.modified == (result.rewrites > 0) == (result.module is not module)


@pytest.mark.parametrize("step", LOCAL_PASSES, ids=lambda step: step.name)
@EXAMPLES
@given(module=modules())
def test_second_run_changes_nothing(step: Pass, module: Module) -> None:
    assert not step.run(step.run(module).module).modified


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
@EXAMPLES
@given(module=modules())
def test_same_module_gives_the_same_text_and_report(step: Pass, module: Module) -> None:
    first, second = step.run(module), step.run(module)
    assert format_module(first.module) == format_module(second.module)
    assert (first.rewrites, first.misses, dict(first.notes)) == (second.rewrites, second.misses, dict(second.notes))


@EXAMPLES
@given(module=modules())
def test_basic_passes_keep_every_bit_and_settle(module: Module) -> None:
    inputs = random_inputs(module)
    optimized, records = PassManager(basic_passes()).run(module)
    again, second_records = PassManager(basic_passes()).run(optimized)
    assert_same_bits(run(optimized, inputs), run(module, inputs))
    assert again is optimized
    assert len(records) == len(second_records) == 5
    assert all(record.runs == 1 and record.rewrites == 0 for record in second_records)
