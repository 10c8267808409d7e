"""Each pass on a small module in text form: `golden/<pass>.before.txt` becomes `golden/<pass>.after.txt`.

With UPDATE_GOLDENS=1 in the environment the after files are written instead; read the difference before keeping it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.common_subexpressions import CommonSubexpressions
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.fold_constant_arguments import FoldConstantArguments
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.passes.fusions.attention_layout import AttentionLayout
from coopdraw.graphs.passes.fusions.linear_combination import LinearCombinationFusion
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.text import format_module, parse_module
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

from .random_graphs import assert_same_bits, run

GOLDEN = Path(__file__).parent / "golden"
PASSES: tuple[Pass, ...] = (
    ConstantFolding(),
    CommonSubexpressions(),
    DeadCode(),
    IdentityRemoval(),
    FoldConstantArguments(),
    AttentionFusion(),
    AttentionLayout(),
    LinearCombinationFusion(),
)


def read(path: Path) -> Module:
    """The module with weights 1, 2, 3 ..., so that results are exact on any machine."""
    declared = parse_module(path.read_text())
    weights = {name: ArrayWeight(_counting(weight.type)) for name, weight in declared.weights.items()}
    return parse_module(path.read_text(), weights)


def _counting(type: TensorType) -> np.ndarray:
    return np.arange(1, type.size + 1).reshape(type.shape).astype(type.dtype.numpy)


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_pass_turns_before_into_after(step: Pass) -> None:
    after = GOLDEN / f"{step.name}.after.txt"
    module = read(GOLDEN / f"{step.name}.before.txt")
    result = step.run(module)
    verify(result.module)
    if os.environ.get("UPDATE_GOLDENS"):
        after.write_text(format_module(result.module))
    assert format_module(result.module) == after.read_text()
    assert result.modified
    assert result.rewrites > 0


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_after_computes_the_same(step: Pass) -> None:
    before, after = read(GOLDEN / f"{step.name}.before.txt"), read(GOLDEN / f"{step.name}.after.txt")
    inputs = {value.name: _counting(value.type) for value in before.entry.inputs}
    assert_same_bits(run(after, inputs), run(before, inputs))


@pytest.mark.parametrize("step", PASSES, ids=lambda step: step.name)
def test_after_is_left_alone(step: Pass) -> None:
    after = read(GOLDEN / f"{step.name}.after.txt")
    result = step.run(after)
    assert not result.modified
    assert result.module is after
