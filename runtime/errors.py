"""What can go wrong between a bundle on disk and a picture."""

from __future__ import annotations

from coopdraw.graphs.errors import CoopdrawError


class BundleError(CoopdrawError):
    """A bundle that is incomplete, damaged, or says something that cannot be."""


class InputError(CoopdrawError):
    """Tensors or captions given to a bundle that it cannot take."""


class BackendError(CoopdrawError):
    """A backend that is not installed, cannot load a graph, or failed while running it."""


class KernelBuildError(CoopdrawError):
    """Native code (CPU kernels, simulated kernels, coopdraw-run) cannot be built on this machine."""
