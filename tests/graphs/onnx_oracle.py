"""An independent executor for single operators: a small ONNX model, run by onnxruntime without optimisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import NodeProto, helper, numpy_helper

from coopdraw.graphs.ops import evaluate, infer
from coopdraw.graphs.ops.table import Attributes
from coopdraw.graphs.types import TensorType

OPSET = 21


def onnx_node(operator: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> NodeProto:
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


def run_onnx(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = OPSET,
) -> list[np.ndarray]:
    """The outputs of the nodes; `constants` become initializers, which shapes, axes and the like must be."""
    graph = helper.make_graph(
        list(nodes),
        "oracle",
        [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(list(outputs), dict(inputs)))


def checked_evaluate(name: str, inputs: Sequence[np.ndarray], attributes: Attributes) -> tuple[np.ndarray, ...]:
    """`evaluate`, whose outputs must have the types that `infer` gives."""
    types = infer(name, [TensorType.of(array) for array in inputs], attributes)
    results = evaluate(name, inputs, attributes)
    assert [TensorType.of(result) for result in results] == list(types)
    return results


def assert_agrees(
    name: str,
    inputs: Sequence[np.ndarray],
    attributes: Attributes,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> None:
    """The reference of `name` equals the ONNX nodes, which read "0", "1" ... and write "y" (or "y0", "y1" ...)."""
    inputs = [np.asarray(array) for array in inputs]
    results = checked_evaluate(name, inputs, attributes)
    outputs = ["y"] if len(results) == 1 else [f"y{index}" for index in range(len(results))]
    expected = run_onnx(nodes, {str(index): array for index, array in enumerate(inputs)}, outputs, constants)
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype
        np.testing.assert_allclose(result, wanted, rtol=relative, atol=absolute)
