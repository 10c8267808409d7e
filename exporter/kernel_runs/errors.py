"""What can be wrong with a run of a kernel that was asked for."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class KernelRequestError(CoopdrawError):
    """A kernel, shape, attribute or folder that can't be run; one sentence with the cause and the fix."""
