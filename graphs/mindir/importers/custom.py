"""`Custom` nodes that this package wrote: the operator that they compute."""

from __future__ import annotations

import json

from coopdraw.graphs.errors import GraphError
from coopdraw.graphs.ir import Attribute
from coopdraw.graphs.mindir.custom import MEANING
from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive


@primitive("Custom")
def custom(call: PrimitiveCall) -> Imported:
    """The node's inputs, then the array of its attributes, which is not needed here."""
    operator, attributes = _meaning(call)
    tensors = [call.tensor(index) for index in range(len(call.arguments) - 1)]
    try:
        results = call.builder.add_many(operator, *tensors, names=None, **attributes)
    except GraphError as error:
        raise call.error(f"says that it is a {operator}, which it can't be ({error}); export the file again") from None
    return results if len(results) > 1 else results[0]


def _meaning(call: PrimitiveCall) -> tuple[str, dict[str, Attribute]]:
    """Operator and attributes as `emit_custom` wrote them."""
    try:
        stored = json.loads(str(call.attributes[MEANING]))
        pairs = dict(stored["attributes"]).items()
        attributes = {key: tuple(value) if isinstance(value, list) else value for key, value in pairs}
        return str(stored["operator"]), attributes
    except (KeyError, TypeError, ValueError):
        raise call.error(
            "is a custom operator that coopdraw doesn't know; replace it by standard operators in the Cell"
        ) from None
