"""Values inside MindIR attributes: scalars, tuples and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.mindir.codes import tensor_type
from coopdraw.graphs.mindir.primitives import MONAD, Imported
from coopdraw.graphs.mindir.schema import schema


def attribute_value(attribute: Any) -> Imported:
    """The Python value of an AttributeProto: bool, int, float, str, None, tuple, array, or the MONAD mark."""
    kind = schema().AttributeProto
    code = attribute.type
    if code in (kind.UMONAD, kind.IOMONAD):
        return MONAD
    if code in (kind.NONE, kind.TYPE_NULL, kind.UNDEFINED):
        return None
    if code == kind.BOOL:
        return _one_or_more([bool(item) for item in attribute.ints or [attribute.i]])
    if code in (kind.INT8, kind.UINT8, kind.INT16, kind.UINT16, kind.INT32, kind.UINT32, kind.INT64, kind.UINT64):
        return _one_or_more([int(item) for item in attribute.ints or [attribute.i]])
    if code in (kind.FLOAT, kind.FLOAT16, kind.BFLOAT16):
        return _one_or_more([float(item) for item in attribute.floats or [attribute.f]])
    if code == kind.DOUBLE:
        return _one_or_more([float(item) for item in attribute.doubles or [attribute.d]])
    if code == kind.STRING:
        return _one_or_more([raw.decode("utf-8", "replace") for raw in attribute.strings or [attribute.s]])
    if code in (kind.TUPLE, kind.LIST):
        return tuple(attribute_value(item) for item in attribute.values)
    if code in (kind.TENSOR, kind.TENSORS):
        tensors = [tensor_array(tensor) for tensor in ([attribute.t] if code == kind.TENSOR else attribute.tensors)]
        return tensors[0] if len(tensors) == 1 else tuple(tensors)
    raise MindirError(f"attribute {attribute.name} has type code {code}, which is not supported; remove it in the Cell")


def _one_or_more(items: Sequence[bool | int | float | str]) -> Imported:
    """A scalar stands in the repeated field if it is an element of a TUPLE, else in the single one."""
    return items[0] if len(items) == 1 else tuple(items)


def tensor_array(tensor: Any) -> np.ndarray:
    """The array in a TensorProto with inline bytes."""
    wanted = tensor_type(tensor.dims, tensor.data_type)
    if len(tensor.raw_data) != wanted.nbytes:
        raise MindirError(
            f"a constant of {wanted} has {len(tensor.raw_data)} bytes instead of {wanted.nbytes}; export the file again"
        )
    return np.frombuffer(tensor.raw_data, wanted.dtype.numpy).reshape(wanted.shape)
