"""Tuples and lists, and primitives that hand their input on."""

from __future__ import annotations

from coopdraw.graphs.ir import Value
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("Identity", "StopGradient", "Contiguous", "Copy", "Clone", "TensorMove")
def passed_on(call: PrimitiveCall) -> Imported:
    return call.tensor(0)


@primitive("MakeTuple", "make_list")
def make_tuple(call: PrimitiveCall) -> Imported:
    return tuple(call.arguments)


@primitive("TupleGetItem")
def tuple_get_item(call: PrimitiveCall) -> Imported:
    items, index = call.argument(0), call.integer(1)
    if isinstance(items, tuple) and -len(items) <= index < len(items):
        return items[index]
    if isinstance(items, Value) and index == 0:
        return items
    raise call.error(f"takes item {index} of something that doesn't have it; export the file again")
