"""What can be wrong with what the user wrote."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class RecipeError(CoopdrawError):
    """A recipe that can't be compiled; one line for each mistake, each naming the file, the key and the fix."""
