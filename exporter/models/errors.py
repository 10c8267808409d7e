"""What goes wrong with a model's architecture."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class ConfigurationError(CoopdrawError):
    """An architecture that contradicts itself or that the built-in Cells don't have."""
