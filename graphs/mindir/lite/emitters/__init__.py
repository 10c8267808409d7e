"""Rules of every family; importing this package fills the registry."""

from coopdraw.graphs.mindir.lite.emitters import activation, elementwise, linear, normalization, resize, shape

__all__ = ["activation", "elementwise", "linear", "normalization", "resize", "shape"]
