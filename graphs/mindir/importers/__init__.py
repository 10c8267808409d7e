"""Importers of MindSpore primitives by family. Importing this package fills the registry."""

from coopdraw.graphs.mindir.importers import (
    activation,
    attention,
    convolution,
    custom,
    elementwise,
    linear,
    normalization,
    reduction,
    resize,
    shape,
    tuples,
    views,
)

__all__ = [
    "activation",
    "attention",
    "convolution",
    "custom",
    "elementwise",
    "linear",
    "normalization",
    "reduction",
    "resize",
    "shape",
    "tuples",
    "views",
]
