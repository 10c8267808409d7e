"""What goes wrong with a checkpoint as a whole; damaged files are `WeightError`s."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class CheckpointError(CoopdrawError):
    """A checkpoint that can't be found, isn't in a known layout, or doesn't fit the model it's meant for."""
