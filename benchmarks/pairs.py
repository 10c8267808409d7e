"""Times two ways of doing the same in turns, so that what else the machine does meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
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


def compare(ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> Comparison:
    """Runs both once untimed, then `pairs` times each; who goes first changes from pair to pair. `pairs` >= 2."""
    ours()
    theirs()
    found: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for index in range(pairs):
        for way in (ours, theirs) if index % 2 == 0 else (theirs, ours):
            started = time.perf_counter()
            way()
            found[way].append(time.perf_counter() - started)
    return Comparison(tuple(found[ours]), tuple(found[theirs]))
