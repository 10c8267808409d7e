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
    """x, axes (none: all of them), keepdims; ReduceSum has skip_mode, others may have a dtype."""
    x = call.tensor(0)
    if call.declared and call.output_type().dtype is not x.type.dtype:
        x = call.add("cast", x, dtype=str(call.output_type().dtype))
    if call.operator == "ReduceSum" and call.argument(3) is not None and call.boolean(3):
        raise call.error("has skip_mode, which sums over nothing for no axes; leave it out")
    return call.add(_REDUCTIONS[call.operator], x, axes=_axes(call, x), keepdims=call.boolean(2))


def _axes(call: PrimitiveCall, x: Value) -> tuple[int, ...]:
    rank = len(x.type.shape)
    given = call.integers(1) if call.argument(1) is not None else ()
    return tuple(sorted({call.axis(axis, rank) for axis in given})) if given else tuple(range(rank))


@primitive("LinalgVectorNorm")
def vector_norm(call: PrimitiveCall) -> Imported:
    """Square root of the sum of squares; x, order, axes, keepdims."""
    if call.number(1) != 2.0:
        raise call.error(f"is a norm of order {call.number(1)}; use order 2")
    x = call.tensor(0)
    given = call.integers(2) if call.argument(2) is not None else range(len(x.type.shape))
    axes = tuple(sorted({call.axis(axis, len(x.type.shape)) for axis in given}))
    return call.add("sqrt", call.add("reduce_sum", call.add("square", x), axes=axes, keepdims=call.boolean(3)))


@primitive("Max", "Min")
def extreme(call: PrimitiveCall) -> Imported:
    x = call.tensor(0)
    axes = tuple(range(len(x.type.shape)))
    return call.add("reduce_max" if call.operator == "Max" else "reduce_min", x, axes=axes, keepdims=False)
