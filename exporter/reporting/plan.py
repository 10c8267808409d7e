"""Who acts at which step of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from coopdraw.runtime.manifest import Step

ROLES = ("model", "guidance", "partner", "adapter", "transfer")
"""In the order in which lanes are drawn."""


@dataclass(frozen=True)
class Lane:
    """One actor in one role; `active[step]` says whether it acts at that step."""

    role: str
    name: str
    active: tuple[bool, ...]

    def runs(self) -> Iterator[tuple[int, int]]:
        """First step and end (exclusive) of every stretch of steps at which it acts."""
        for acts, group in groupby(range(len(self.active)), key=lambda step: self.active[step]):
            if acts:
                found = list(group)
                yield found[0], found[-1] + 1


def actors(step: Step) -> tuple[tuple[str, str], ...]:
    """(role, name) of everything that acts at a step, each once."""
    found = [("model", step.model)]
    if len(step.branches) > 1:
        found.append(("guidance", ", ".join(step.branches)))
    found += [("partner", name) for name in step.partners]
    found += [("adapter", name) for name in step.adapters]
    found += [("transfer", name) for name in step.transfers]
    return tuple(dict.fromkeys(found))


def plan_lanes(steps: Sequence[Step]) -> tuple[Lane, ...]:
    """A lane for every actor: by role, then in the order in which they first act; guidance has one if it ever ends."""
    acting = [frozenset(actors(step)) for step in steps]
    found = dict.fromkeys(actor for step in steps for actor in actors(step))
    ordered = sorted(found, key=lambda actor: ROLES.index(actor[0]))
    lanes = (Lane(*actor, tuple(actor in at_step for at_step in acting)) for actor in ordered)
    return tuple(lane for lane in lanes if lane.role != "guidance" or not all(lane.active))


def phases(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """The plan cut into stretches of steps with the same actors."""
    for _, group in groupby(steps, key=lambda step: frozenset(actors(step))):
        yield tuple(group)


def marked_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps whose t and sigma one wants to read: the first, those at which the actors change, and the last."""
    marked = {phase[0].step: phase[0] for phase in phases(steps)}
    return tuple((marked | {steps[-1].step: steps[-1]}).values())


def place_labels(wanted: Sequence[float], lengths: Sequence[float], end: float) -> list[float | None]:
    """Where labels in one row begin, or None for those that would touch another one.

    The first label, and then the last, have precedence; the last moves left if it would pass `end`.
    """
    placed: list[float | None] = [None] * len(wanted)
    taken: list[tuple[float, float]] = []
    last = len(wanted) - 1
    for index in dict.fromkeys((0, last, *range(1, last))):
        start = min(wanted[index], max(0.0, end - lengths[index])) if index == last else wanted[index]
        stop = start + lengths[index]
        if all(stop <= other_start or start >= other_stop for other_start, other_stop in taken):
            taken.append((start, stop))
            placed[index] = start
    return placed
