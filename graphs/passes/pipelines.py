"""The orders in which passes are run."""

from __future__ import annotations

from coopdraw.graphs.passes.common_subexpressions import CommonSubexpressions
from coopdraw.graphs.passes.constant_folding import ConstantFolding
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.passes.fold_constant_arguments import FoldConstantArguments
from coopdraw.graphs.passes.identity_removal import IdentityRemoval
from coopdraw.graphs.passes.manager import FixedPoint, Stage


def basic_passes() -> tuple[Stage, ...]:
    """What every module gets: constants computed, repeated and unused work removed, until nothing changes.

    dead-code comes first, since a call that nothing uses could keep an argument from being the same at every call.
    """
    return (
        FixedPoint(
            (DeadCode(), ConstantFolding(), IdentityRemoval(), CommonSubexpressions(), FoldConstantArguments()),
        ),
    )
