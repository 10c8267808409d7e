"""Each loop pass on a small module in text form, as in `test_goldens` one folder up.

Weights that a pass makes of others can't be told from the text after it, so results are compared before it is written.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from graphs.passes.random_graphs import run
from graphs.passes.test_goldens import GOLDEN, read

from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.loop.fold_affine import FoldAffine
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.passes.loop.invariant_arguments import HoistInvariantArguments
from coopdraw.graphs.passes.loop.merge_projections import MergeProjections
from coopdraw.graphs.text import format_module
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.verifier import verify

PASSES: tuple[Pass, ...] = (HoistInvariantArguments(), InlineFunctions(), MergeProjections(), FoldAffine())


def small_integers(type: TensorType) -> np.ndarray:
    """Numbers whose sums and products are exact in any order."""
    return (np.arange(type.size) % 5 - 2).reshape(type.shape).astype(type.dtype.numpy)


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_pass_turns_before_into_after(step: Pass) -> None:
    after = GOLDEN / f"{step.name}.after.txt"
    result = step.run(read(GOLDEN / f"{step.name}.before.txt"))
    verify(result.module)
    if os.environ.get("UPDATE_GOLDENS"):
        after.write_text(format_module(result.module))
    assert format_module(result.module) == after.read_text()
    assert result.modified
    assert result.rewrites > 0


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_after_computes_the_same_and_is_left_alone(step: Pass) -> None:
    before = read(GOLDEN / f"{step.name}.before.txt")
    inputs = {value.name: small_integers(value.type) for value in before.entry.inputs}
    after = step.run(before).module
    wanted, found = run(before, inputs), run(after, inputs)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        # small whole numbers and halves, exact in any order; softmax gets the same scores
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert step.run(after).module is after
