"""The orders in which passes are run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from coopdraw.graphs.errors import PassError
from coopdraw.graphs.passes.base import Pass
from coopdraw.graphs.passes.common_subexpressions import CommonSubexpressions
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.fold_constant_arguments import FoldConstantArguments
from coopdraw.graphs.passes.fusions.attention import AttentionFusion
from coopdraw.graphs.passes.fusions.attention_layout import AttentionLayout
from coopdraw.graphs.passes.fusions.bias import BiasFusion
from coopdraw.graphs.passes.fusions.geglu import GegluFusion
from coopdraw.graphs.passes.fusions.gelu_core import GeluCore
from coopdraw.graphs.passes.fusions.group_norm import GroupNormFusion
from coopdraw.graphs.passes.fusions.group_norm_core import GroupNormCore
from coopdraw.graphs.passes.fusions.layer_norm import LayerNormFusion
from coopdraw.graphs.passes.fusions.layer_norm_core import LayerNormCore
from coopdraw.graphs.passes.fusions.linear_combination import LinearCombinationFusion
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.passes.loop.fold_affine import FoldAffine
from coopdraw.graphs.passes.loop.inline_functions import InlineFunctions
from coopdraw.graphs.passes.loop.invariant_arguments import HoistInvariantArguments
from coopdraw.graphs.passes.loop.merge_projections import MergeProjections
from coopdraw.graphs.passes.manager import FixedPoint, Stage

Level = Literal["none", "basic", "full"]


def basic_passes() -> tuple[Stage, ...]:
    """What every module gets: constants computed, repeated and unused work removed, until nothing changes.

    dead-code comes first, since a call that nothing uses could keep an argument from being the same at every call.
    """
    return (
        FixedPoint(
            (DeadCode(), ConstantFolding(), IdentityRemoval(), CommonSubexpressions(), FoldConstantArguments()),
        ),
    )


def full_passes() -> tuple[Stage, ...]:
    """`basic_passes`, fusions, what only a static loop allows, and `basic_passes` again over what that left.

    Operators that are written out are recognised first, then what they are part of. Invariant arguments are hoisted
    when attention is one operator, so that K and V move without the transposes around them, and when wrappers around a
    network are gone. Weighted sums come before merged projections, whose splits they would not see through.
    """
    return (
        *basic_passes(),
        GroupNormCore(),
        LayerNormCore(),
        GeluCore(),
        FoldAffine(),
        BiasFusion(),
        AttentionFusion(),
        AttentionLayout(),
        GroupNormFusion(),
        LayerNormFusion(),
        GegluFusion(),
        InlineFunctions(),
        *basic_passes(),
        LinearCombinationFusion(),
        HoistInvariantArguments(),
        MergeProjections(),
        *basic_passes(),
    )


def passes(level: Level, disabled: Collection[str] = ()) -> tuple[Stage, ...]:
    """The passes of a level without those of the names in `disabled`; raises PassError for a name nobody has."""
    stages: dict[Level, tuple[Stage, ...]] = {"none": (), "basic": basic_passes(), "full": full_passes()}
    unknown = sorted(set(disabled) - set(pass_names()))
    if unknown:
        raise PassError(f"there is no pass {', '.join(unknown)}; the passes are {', '.join(pass_names())}")
    return tuple(_without(stages[level], disabled))


def pass_names() -> tuple[str, ...]:
    """Every pass that can be left out, in the order of its first run."""
    return tuple(dict.fromkeys(step.name for stage in full_passes() for step in _steps(stage)))


def _steps(stage: Stage) -> tuple[Pass, ...]:
    return stage.passes if isinstance(stage, FixedPoint) else (stage,)


def _without(stages: Iterable[Stage], disabled: Collection[str]) -> Iterable[Stage]:
    for stage in stages:
        kept = tuple(step for step in _steps(stage) if step.name not in disabled)
        if kept:
            yield FixedPoint(kept, stage.limit) if isinstance(stage, FixedPoint) else stage
