"""Sums, means and extremes over axes."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_REDUCTIONS = {
    "ReduceSum": "reduce_sum",
    "SumExt": "reduce_sum",
    "ReduceMean": "reduce_mean",
    "MeanExt": "reduce_mean",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
}


@primitive(*_REDUCTIONS)
def reduction(call: PrimitiveCall) -> Imported:
    """x, axes (none: all of them), keepdims."""
    x = call.tensor(0)
    if call.declared and call.output_type().dtype is not x.type.dtype:
        x = call.add("cast", x, dtype=str(call.output_type().dtype))
    keepdims = call.boolean(2) if call.argument(2) is not None else bool(call.integer_attribute("keep_dims", 0))
    return call.add(_REDUCTIONS[call.operator], x, axes=_axes(call, x), keepdims=keepdims)


def _axes(call: PrimitiveCall, x: Value) -> tuple[int, ...]:
    rank = len(x.type.shape)
    given = call.integers(1) if call.argument(1) is not None else ()
    return tuple(sorted({axis % rank for axis in given})) if given else tuple(range(rank))


@primitive("Max", "Min")
def extreme(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    axes = tuple(range(len(x.type.shape)))
    return call.add("reduce_max" if call.operator == "Max" else "reduce_min", x, axes=axes, keepdims=False)
