"""What a node costs in memory traffic; `Operator.flops` has the arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from coopdraw.graphs.types import TensorType

_FREE = frozenset({"constant", "weight", "identity", "reshape", "call"})
_READS_WHAT_IT_WRITES = frozenset({"slice", "gather"})


def bytes_moved(operator: str, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
    """Bytes that one node reads and writes if nothing is cached.

    Operators that only rename bytes (constant, weight, identity, reshape) count 0, and so does a call, whose body
    counts for itself. slice and gather read only the elements that they return (and the indices).
    """
    if operator in _FREE:
        return 0
    written = sum(type.nbytes for type in outputs)
    if operator in _READS_WHAT_IT_WRITES:
        return 2 * written + sum(type.nbytes for type in inputs[1:])
    return written + sum(type.nbytes for type in inputs)
