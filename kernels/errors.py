"""What can go wrong between kernel sources and a library."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class KernelBuildError(CoopdrawError):
    """The kernels' library that cannot be built: no compiler, a source it refuses, or no place for the result."""
