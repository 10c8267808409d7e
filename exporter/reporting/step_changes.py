"""Which steps of two plans differ, as ranges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from coopdraw.runtime.manifest import Step

_FIGURES = ("t", "sigma", "sigma_next")
_NAMES = ("model", "partners", "transfers", "adapters", "branches")


@dataclass(frozen=True)
class StepRange:
    """Steps `first` to `last` and what differs in them.

    Of t, sigma and sigma_next `before` and `after` have the first and the last, of names all that act. A plan that ends
    before has nothing.
    """

    first: int
    last: int
    before: dict[str, tuple[float, ...] | tuple[str, ...]]
    after: dict[str, tuple[float, ...] | tuple[str, ...]]


def changed_steps(before: Sequence[Step], after: Sequence[Step]) -> tuple[StepRange, ...]:
    """Ranges of steps that differ in the same members; steps that only one plan has come last."""
    common = min(len(before), len(after))
    found: list[StepRange] = []
    for members, positions in groupby(range(common), lambda index: _differing(before[index], after[index])):
        if members:
            found.append(_range(list(positions), before, after, members))
    longest = max(len(before), len(after))
    if common < longest:
        found.append(_range(range(common, longest), before, after, (*_FIGURES, *_NAMES)))
    return tuple(found)


def _differing(one: Step, other: Step) -> tuple[str, ...]:
    return tuple(name for name in (*_FIGURES, *_NAMES) if getattr(one, name) != getattr(other, name))


def _range(
    positions: Sequence[int], before: Sequence[Step], after: Sequence[Step], members: Sequence[str]
) -> StepRange:
    first, last = positions[0], positions[-1]
    old, new = (_values(plan[first : last + 1], members) for plan in (before, after))
    return StepRange(first, last, old, new)


def _values(steps: Sequence[Step], members: Sequence[str]) -> dict[str, tuple[float, ...] | tuple[str, ...]]:
    if not steps:
        return {}
    found: dict[str, tuple[float, ...] | tuple[str, ...]] = {}
    for name in members:
        if name in _FIGURES:
            found[name] = (getattr(steps[0], name), getattr(steps[-1], name))
        else:
            found[name] = tuple(dict.fromkeys(_names(steps, name)))
    return found


def _names(steps: Sequence[Step], member: str) -> Iterator[str]:
    for step in steps:
        value = getattr(step, member)
        yield from (value,) if isinstance(value, str) else value
