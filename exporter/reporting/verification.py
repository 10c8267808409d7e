"""The verification of a manifest in the parts that are shown; what has another form than expected stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coopdraw.runtime.strict_json import JsonValue


@dataclass(frozen=True)
class CheckRow:
    """One figure and its limit; a figure that is not finite is None."""

    what: str
    unit: str
    figure: float | None
    side: str
    limit: float

    @property
    def passed(self) -> bool:
        if self.figure is None:
            return False
        return self.figure <= self.limit if self.side == "at most" else self.figure >= self.limit


@dataclass(frozen=True)
class BudgetRow:
    """What one transfer costs at one step; see `coopdraw.exporter.error_budget`."""

    step: int
    transfer: str
    sigma: float
    round_trip: float
    epsilon_error: float


@dataclass(frozen=True)
class Verification:
    """`passed` is None for a bundle that was not verified; `others` is what is neither a check nor in the budget."""

    passed: bool | None
    checks: tuple[CheckRow, ...]
    budget: tuple[BudgetRow, ...]
    others: Mapping[str, JsonValue]

    @property
    def worst_error(self) -> float:
        """Largest error of the predicted noise in the budget."""
        return max((row.epsilon_error for row in self.budget), default=0.0)


def read_verification(found: Mapping[str, JsonValue]) -> Verification:
    """Reads what `coopdraw compile` writes. Anything else that a manifest may hold is left in `others`."""
    passed, checks, budget = found.get("passed"), found.get("checks"), found.get("error_budget")
    check_rows = [_check(item) for item in checks] if isinstance(checks, list) else [None]
    budget_rows = [_budget_row(item) for item in budget] if isinstance(budget, list) else [None]
    read_checks = tuple(row for row in check_rows if row is not None)
    read_budget = tuple(row for row in budget_rows if row is not None)
    read = {
        "passed": isinstance(passed, bool),
        "checks": len(read_checks) == len(check_rows),
        "error_budget": len(read_budget) == len(budget_rows),
    }
    return Verification(
        passed if isinstance(passed, bool) else None,
        read_checks if read["checks"] else (),
        read_budget if read["error_budget"] else (),
        {name: value for name, value in found.items() if not read.get(name)},
    )


def _check(item: JsonValue) -> CheckRow | None:
    if not isinstance(item, dict):
        return None
    side = "at_most" if "at_most" in item else "at_least"
    what, unit, figure, limit = (item.get(name) for name in ("what", "unit", "figure", side))
    if not isinstance(what, str) or not isinstance(unit, str) or not isinstance(limit, int | float):
        return None
    if figure is not None and not isinstance(figure, int | float):
        return None
    return CheckRow(what, unit, figure, side.replace("_", " "), limit)


def _budget_row(item: JsonValue) -> BudgetRow | None:
    if not isinstance(item, dict):
        return None
    step, transfer = item.get("step"), item.get("transfer")
    figures = [item.get(name) for name in ("sigma", "round_trip", "epsilon_error")]
    numbers = [float(figure) for figure in figures if isinstance(figure, int | float)]
    if not isinstance(step, int) or not isinstance(transfer, str) or len(numbers) != len(figures):
        return None
    return BudgetRow(step, transfer, *numbers)
