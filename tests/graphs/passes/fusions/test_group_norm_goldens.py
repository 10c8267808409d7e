"""Fusions of norms, gates and biases in text form: `golden/<pass>.before.txt` becomes `golden/<pass>.after.txt`.

With UPDATE_GOLDENS=1 in the environment the after files are written instead; read the difference before keeping it.
"""

from __future__ import annotations

import os

import pytest
from graphs.passes.fusions.equivalence import fuse, random_weights
from graphs.passes.fusions.test_group_norm_random import PASSES
from graphs.passes.test_goldens import GOLDEN

from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.fusions.geglu import GegluFusion
from coopdraw.graphs.text import format_module, parse_module


@pytest.mark.parametrize(
    "step", [GegluFusion() if step.name == "geglu-fusion" else step for step in PASSES], ids=lambda step: step.name
)
def test_pass_turns_before_into_after(step: Pass) -> None:
    text = (GOLDEN / f"{step.name}.before.txt").read_text()
    module = parse_module(text, random_weights({name: w.type for name, w in parse_module(text).weights.items()}))
    # Sums in another order: some ulp of float32 (6e-8), divided by spreads that the epsilon of 0.25 keeps above 0.5.
    result = fuse(step, module, tolerance=1e-5)
    after = GOLDEN / f"{step.name}.after.txt"
    report = "".join(f"# miss: {miss.node}: {miss.reason}\n" for miss in result.misses)
    if os.environ.get("UPDATE_GOLDENS"):
        after.write_text(report + format_module(result.module))
    assert report + format_module(result.module) == after.read_text()
    assert len(result.misses) == 1
