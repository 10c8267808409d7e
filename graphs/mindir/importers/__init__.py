"""Importers of MindSpore primitives by family. Importing this package fills the registry."""

from coopdraw.graphs.mindir.importers import elementwise, linear, normalization, reduction, resize, shape, views

__all__ = ["elementwise", "linear", "normalization", "reduction", "resize", "shape", "views"]
