"""Emission rules by family, operators as MindSpore 2.10 primitives. Importing this package fills the registry."""

from coopdraw.graphs.mindir.emitters import elementwise, linear, normalization, resize, shape

__all__ = ["elementwise", "linear", "normalization", "resize", "shape"]
