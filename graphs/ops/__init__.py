"""The canonical operator set. Importing this package fills the table."""

from coopdraw.graphs.ops import (
    activation,
    convolution,
    elementwise,
    linear,
    normalization,
    reduction,
    resize,
    shape,
    structural,
)
from coopdraw.graphs.ops.cost import bytes_moved
from coopdraw.graphs.ops.fused import FAMILIES as FUSED
from coopdraw.graphs.ops.table import Attributes, Operator, evaluate, infer, lookup, operator_names

FAMILIES = (activation, convolution, elementwise, linear, normalization, reduction, resize, shape, structural, *FUSED)
"""The modules whose import registers the operators."""

__all__ = ["FAMILIES", "Attributes", "Operator", "bytes_moved", "evaluate", "infer", "lookup", "operator_names"]
