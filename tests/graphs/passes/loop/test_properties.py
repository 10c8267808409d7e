"""What loop passes promise, on random modules: the same results, valid modules, the same text every time."""

from __future__ import annotations

import numpy as np
import pytest
from graphs.passes.random_graphs import assert_same_bits, modules, random_inputs, run
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.costs import measure
from coopdraw.graphs.passes.loop.fold_affine import FoldAffine
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.passes.loop.invariant_arguments import HoistInvariantArguments
from coopdraw.graphs.passes.loop.merge_projections import MergeProjections
from coopdraw.graphs.text import format_module
from coopdraw.graphs.verifier import verify

from .loop_modules import integer_inputs, layered, loops

BITWISE: tuple[Pass, ...] = (HoistInvariantArguments(), InlineFunctions(), InlineFunctions(largest=3))
REASSOCIATING: tuple[Pass, ...] = (MergeProjections(), MergeProjections(kinds=("same_input",)), FoldAffine())
PASSES = (*BITWISE, *REASSOCIATING)
ANY = loops() | modules() | layered()
EXAMPLES = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("step", BITWISE, ids=str)
@EXAMPLES
@given(module=loops() | modules())
def test_pass_keeps_every_bit(step: Pass, module: Module) -> None:
    inputs = random_inputs(module)
    result = step.run(module)
    verify(result.module)
    assert_same_bits(run(result.module, inputs), run(module, inputs))


@pytest.mark.parametrize("step", REASSOCIATING, ids=str)
@EXAMPLES
@given(module=layered(), seed=st.integers(0, 3))
def test_reassociated_whole_numbers_stay_the_same(step: Pass, module: Module, seed: int) -> None:
    inputs = integer_inputs(module, seed)
    result = step.run(module)
    verify(result.module)
    wanted, found = run(module, inputs), run(result.module, inputs)
    for name, array in wanted.items():
        # whole numbers and powers of two are exact in any order, see `layered`; zeros may differ in sign
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("step", PASSES, ids=str)
@EXAMPLES
@given(module=ANY)
def test_modified_says_whether_the_text_changed(step: Pass, module: Module) -> None:
    result = step.run(module)
    assert result.modified == (format_module(result.module) != format_module(module))
    assert result.modified == (result.rewrites > 0) == (result.module is not module)


@pytest.mark.parametrize("step", PASSES, ids=str)
@EXAMPLES
@given(module=ANY)
def test_second_run_changes_nothing_and_first_repeats(step: Pass, module: Module) -> None:
    first, again = step.run(module), step.run(module)
    assert format_module(first.module) == format_module(again.module)
    assert (first.rewrites, first.misses, dict(first.notes)) == (again.rewrites, again.misses, dict(again.notes))
    assert step.run(first.module).module is first.module


@EXAMPLES
@given(module=loops() | modules())
def test_hoisting_never_costs_flops_and_notes_what_it_saves(module: Module) -> None:
    result = HoistInvariantArguments().run(module)
    saved = measure(module).flops - measure(result.module).flops
    assert result.notes.get("flops_saved", 0) == saved
    assert (saved > 0) == result.modified
