"""The `onnx` package, imported when a model is written, and ONNX's codes for element types."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from coopdraw.graphs.errors import OnnxError
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
"""TensorProto.DataType of onnx.proto."""


@cache
def onnx() -> Any:
    """The package with the protobuf classes; raises OnnxError if it isn't installed."""
    try:
        import onnx as package
    except ImportError as error:
        raise OnnxError(f"the package onnx cannot be imported ({error}); run `pip install onnx`") from error
    return package


def tensor(array: np.ndarray, name: str = "") -> Any:
    """A TensorProto with the array's bytes in it."""
    type = TensorType.of(array)
    raw = np.ascontiguousarray(array).tobytes()
    return onnx().TensorProto(name=name, dims=type.shape, data_type=TENSOR_CODES[type.dtype], raw_data=raw)


def value_info(name: str, type: TensorType) -> Any:
    """The declaration of a graph's input or output."""
    return onnx().helper.make_tensor_value_info(name, TENSOR_CODES[type.dtype], type.shape)
