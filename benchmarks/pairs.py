"""Times two ways of doing the same in turns, so that what else the machine does meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Seconds of each run of the two, in the order in which they were taken."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times longer theirs took, pair by pair."""
        return tuple(theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True))

    def line(self) -> str:
        """Median ratio with the middle half of the pairs."""
        low, middle, high = statistics.quantiles(self.ratios, n=4)
        return (
            f"{middle:.2f}x (middle half of {len(self.ratios)} pairs: {low:.2f}x to {high:.2f}x; "
            f"medians {statistics.median(self.ours):.4f} s and {statistics.median(self.theirs):.4f} s)"
        )


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, ...]]:
    """Seconds of each way's runs, in order: all run once untimed, then in turns; who begins changes every round."""
    for way in ways.values():
        way()
    names = list(ways)
    found: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        start = index % len(names)
        for name in names[start:] + names[:start]:
            started = time.perf_counter()
            ways[name]()
            found[name].append(time.perf_counter() - started)
    return {name: tuple(seconds) for name, seconds in found.items()}


def compare(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> Comparison:
    """Runs both once untimed, then `pairs` times each; who goes first changes from pair to pair. `pairs` >= 2."""
    found = take_turns({"ours": ours, "theirs": theirs}, pairs)
    return Comparison(found["ours"], found["theirs"])
