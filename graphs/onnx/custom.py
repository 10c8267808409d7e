"""`Custom` nodes as MindSpore Lite's converter wants them: operators of an installed operator package, by name.

Source: MindSpore Lite's documentation, mindir/converter_custom (adapting custom operators in ONNX models).
"""

from __future__ import annotations

from typing import Any

from coopdraw.graphs.errors import OnnxError
from coopdraw.graphs.ir import Attribute
from coopdraw.graphs.onnx.emission import NodeEmitter
from coopdraw.graphs.onnx.form import CustomOperator


def emit_custom(emitter: NodeEmitter, operator: CustomOperator) -> list[str]:
    """A node with the names of its operands as the operator's prototype has them; inputs that aren't there have none.

    `output_num` is for nodes of which only the first of several outputs is used.
    """
    inputs = {name: index for name, index in operator.inputs.items() if index is not None}
    outputs = {name: index for name, index in operator.outputs.items() if index is not None}
    used = len(outputs)
    if list(outputs) != list(operator.outputs)[:used] or list(outputs.values()) != list(range(used)):
        raise OnnxError(
            f"{emitter.node.where()} doesn't have the first outputs of {operator.type}; leave it to its decomposition"
        )
    if operator.parsed:
        numbers = {name: _number(value) for name, value in operator.attributes.items()}
        operands = [emitter.inputs[index] for index in inputs.values()]
        return list(emitter.add_many(operator.type, *operands, outputs=used, **numbers))
    attributes: dict[str, Any] = {name: _attribute(value) for name, value in operator.attributes.items()}
    optional = [name for name in inputs if name in operator.optional]
    if optional:
        attributes["optional_input_names"] = optional
    if used == 1 < len(operator.outputs):
        attributes["output_num"] = len(operator.outputs)
    results = emitter.add_many(
        "Custom",
        *(emitter.inputs[index] for index in inputs.values()),
        outputs=used,
        type=operator.type,
        input_names=list(inputs),
        output_names=list(operator.outputs),
        **attributes,
    )
    return list(results)


def _number(value: Attribute) -> Any:
    return int(value) if isinstance(value, bool) else value


def _attribute(value: Attribute) -> Any:
    """ONNX has no attributes of type bool: the converter wants their names."""
    return str(value).lower() if isinstance(value, bool) else value
