"""Number codes of MindIR: element types in tensors, and MindSpore's type ids as they appear in Cast."""

from __future__ import annotations

from collections.abc import Sequence

from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.types import DType, TensorType

TENSOR_CODES: dict[DType, int] = {
    DType.FLOAT32: 1,
    DType.UINT8: 2,
    DType.INT8: 3,
    DType.INT32: 6,
    DType.INT64: 7,
    DType.BOOL: 9,
    DType.FLOAT16: 10,
    DType.FLOAT64: 11,
    DType.BFLOAT16: 16,
}
"""TensorProto.DataType of mind_ir.proto."""

TYPE_IDS: dict[DType, int] = {
    DType.BOOL: 30,
    DType.INT8: 32,
    DType.INT32: 34,
    DType.INT64: 35,
    DType.UINT8: 37,
    DType.FLOAT16: 42,
    DType.FLOAT32: 43,
    DType.FLOAT64: 44,
    DType.BFLOAT16: 45,
}
"""MindSpore's TypeId (mindspore/core/include/mindapi/base/type_id.h), the second input of Cast."""

CHANNELS_FIRST = frozenset({0, 14})
"""NCHW and NCDHW of MindSpore's Format (mindspore/core/include/mindapi/base/format.h), as in BiasAdd and AvgPool."""

_FROM_TENSOR_CODE = {code: dtype for dtype, code in TENSOR_CODES.items()} | {17: DType.FLOAT64}
_FROM_TYPE_ID = {code: dtype for dtype, code in TYPE_IDS.items()}


def dtype_of_tensor_code(code: int) -> DType:
    """Raises MindirError for an element type the IR doesn't have."""
    try:
        return _FROM_TENSOR_CODE[code]
    except KeyError:
        raise MindirError(f"MindIR element type {code} is not supported; cast it in the Cell") from None


def dtype_of_type_id(code: int) -> DType:
    """Raises MindirError for a TypeId the IR doesn't have."""
    try:
        return _FROM_TYPE_ID[code]
    except KeyError:
        raise MindirError(f"MindSpore type id {code} is not supported; cast to another type in the Cell") from None


def tensor_type(dims: Sequence[int], code: int) -> TensorType:
    """The IR's type of a TensorProto; raises MindirError for a dimension that is unknown or 0."""
    shape = tuple(int(extent) for extent in dims)
    if any(extent < 0 for extent in shape):
        raise MindirError(f"shape {list(shape)} is dynamic; export the Cell with static shapes")
    if 0 in shape:
        raise MindirError(f"shape {list(shape)} has no elements; leave such tensors out of the Cell")
    return TensorType(dtype_of_tensor_code(code), shape)
