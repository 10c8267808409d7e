"""Emission rules by family, operators as ONNX has them. Importing this package fills the registry."""

from coopdraw.graphs.onnx.emitters import elementwise, linear, normalization, resize, shape

__all__ = ["elementwise", "linear", "normalization", "resize", "shape"]
