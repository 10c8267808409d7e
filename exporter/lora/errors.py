"""What goes wrong with a LoRA as a whole, and how its messages list names; damaged files are `WeightError`s."""

from __future__ import annotations

from collections.abc import Iterable

from coopdraw.graphs.errors import CoopdrawError

_LISTED = 20


class LoraError(CoopdrawError):
    """A LoRA that can't be merged: of another method, incomplete, not finite, or made for another model."""


def listing(names: Iterable[str]) -> str:
    """The names without repetitions, at most 20 of them."""
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - _LISTED} more" if len(unique) > _LISTED else ""
    return f"{', '.join(unique[:_LISTED])}{more}"
