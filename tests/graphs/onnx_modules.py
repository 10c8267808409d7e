"""An independent executor for whole modules: each node as the ONNX nodes that say what it means, run by onnxruntime.

Knows the operators that fusions look at, and the fused ones by their own formulas, not by their decompositions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from graphs.onnx_oracle import onnx_node, run_onnx
from onnx import NodeProto, helper

from coopdraw.graphs.ir import Module, Node, Value

_ATTENTION_OPSET = 23
"""The first one that has Attention."""

_SAME_FORM = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "maximum": "Max",
    "minimum": "Min",
    "neg": "Neg",
    "abs": "Abs",
    "round": "Round",
    "sin": "Sin",
    "cos": "Cos",
    "select": "Where",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "erf": "Erf",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "relu": "Relu",
    "identity": "Identity",
}


def run_module(module: Module, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of the entry by name."""
    writer = _Writer(module)
    for value in module.entry.inputs:
        writer.name(value)
    for node in module.entry.nodes:
        writer.write(node)
    outputs = []
    for index, value in enumerate(module.entry.outputs):
        outputs.append(writer.emit("Identity", [writer.name(value)], f"output {index}"))
    feeds = {writer.name(value): inputs[value.name] for value in module.entry.inputs}
    results = run_onnx(writer.nodes, feeds, outputs, writer.constants, _ATTENTION_OPSET)
    return dict(zip(module.entry.output_names, results, strict=True))


class _Writer:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._count = 0
        self._names: dict[Value, str] = {}

    def name(self, value: Value) -> str:
        """The ONNX name of a value of the graph that is being written; a function has others at each call."""
        if value not in self._names:
            self._count += 1
            self._names[value] = f"%{value.name} {self._count}"
        return self._names[value]

    def emit(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        self._count += 1
        output = output or f"between {self._count}"
        self.nodes.append(onnx_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        self._count += 1
        name = f"constant {self._count}"
        self.constants[name] = np.asarray(values, dtype)
        return name

    def write(self, node: Node) -> None:
        inputs, output = [self.name(value) for value in node.inputs], self.name(node.outputs[0])
        if node.operator == "call":
            self._call(node, inputs, "")
        elif node.operator in ("transpose", "slice", "pad", "tile") and not node.inputs[0].type.shape:
            self.emit("Identity", inputs, output)  # ONNX has no empty lists of axes
        elif node.operator == "weight":
            self.constants[output] = self.module.weights[str(node.attributes["name"])].read()
        elif node.operator == "constant":
            self.constants[output] = np.asarray(node.attributes["value"])
        elif node.operator in _SAME_FORM:
            self.emit(_SAME_FORM[node.operator], inputs, output)
        else:
            getattr(self, f"_{node.operator}")(node, inputs, output)

    def _call(self, node: Node, inputs: list[str], output: str) -> None:
        outputs = [self.name(value) for value in node.outputs]
        function, caller = self.module.functions[str(node.attributes["function"])], self._names
        self._names = dict(zip(function.inputs, inputs, strict=True))
        for inner in function.nodes:
            self.write(inner)
        for value, name in zip(function.outputs, outputs, strict=True):
            self.emit("Identity", [self.name(value)], name)
        self._names = caller

    def _concat(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Concat", inputs, output, axis=node.attributes["axis"])

    def _pad(self, node: Node, inputs: list[str], output: str) -> None:
        before, after = node.attributes["before"], node.attributes["after"]
        number = self.constant(node.attributes["value"], node.output.type.dtype.numpy)
        self.emit("Pad", [*inputs, self.constant([*before, *after]), number], output)  # type: ignore[misc]

    def _linear_combination(self, node: Node, inputs: list[str], output: str) -> None:
        weights: Any = node.attributes["weights"]
        dtype = node.output.type.dtype.numpy
        scaled = [self.emit("Mul", [x, self.constant(w, dtype)]) for x, w in zip(inputs, weights, strict=True)]
        self.emit("Sum", scaled, output)

    def _square(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Mul", [inputs[0], inputs[0]], output)

    def _rsqrt(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Reciprocal", [self.emit("Sqrt", inputs)], output)

    def _silu(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Mul", [inputs[0], self.emit("Sigmoid", inputs)], output)

    def _gelu(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Gelu", inputs, output, approximate=node.attributes["approximate"])

    def _cast(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Cast", inputs, output, to=helper.np_dtype_to_tensor_dtype(node.output.type.dtype.numpy))

    def _reshape(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Reshape", [*inputs, self.constant(node.attributes["shape"])], output)

    def _broadcast_to(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Expand", [*inputs, self.constant(node.attributes["shape"])], output)

    def _tile(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Tile", [*inputs, self.constant(node.attributes["repeats"])], output)

    def _transpose(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Transpose", inputs, output, perm=node.attributes["permutation"])

    def _slice(self, node: Node, inputs: list[str], output: str) -> None:
        begin, end, stride = (self.constant(node.attributes[key]) for key in ("begin", "end", "stride"))
        axes = self.constant(range(len(node.output.type.shape)))
        self.emit("Slice", [*inputs, begin, end, axes, stride], output)

    def _split(self, node: Node, inputs: list[str], output: str) -> None:
        sizes = self.constant(node.attributes["sizes"])
        outputs = [self.name(value) for value in node.outputs]
        self.nodes.append(onnx_node("Split", [*inputs, sizes], outputs, axis=node.attributes["axis"]))

    def _reduce_mean(self, node: Node, inputs: list[str], output: str) -> None:
        axes = self.constant(node.attributes["axes"])
        self.emit(
            "ReduceMean",
            [*inputs, axes],
            output,
            keepdims=int(bool(node.attributes["keepdims"])),
            noop_with_empty_axes=1,
        )

    def _reduce_sum(self, node: Node, inputs: list[str], output: str) -> None:
        axes = self.constant(node.attributes["axes"])
        self.emit(
            "ReduceSum",
            [*inputs, axes],
            output,
            keepdims=int(bool(node.attributes["keepdims"])),
            noop_with_empty_axes=1,
        )

    def _matmul(self, node: Node, inputs: list[str], output: str) -> None:
        operands = []
        for name, value, key in zip(inputs, node.inputs, ("transpose_a", "transpose_b"), strict=True):
            rank = len(value.type.shape)
            swap = [*range(rank - 2), rank - 1, rank - 2]
            operands.append(self.emit("Transpose", [name], perm=swap) if node.attributes[key] else name)
        self.emit("MatMul", operands, output)

    def _linear(self, node: Node, inputs: list[str], output: str) -> None:
        product = self.emit("MatMul", [inputs[0], self.emit("Transpose", [inputs[1]], perm=[1, 0])])
        self.emit("Add" if len(inputs) == 3 else "Identity", [product, *inputs[2:]], output)

    def _softmax(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Softmax", inputs, output, axis=node.attributes["axis"])

    def _gather(self, node: Node, inputs: list[str], output: str) -> None:
        self.emit("Gather", inputs, output, axis=node.attributes["axis"])

    def _attention(self, node: Node, inputs: list[str], output: str) -> None:
        heads, attributes = node.attributes["heads"], {"scale": node.attributes["scale"]}
        if node.attributes["layout"] == "BSH":
            attributes |= {"q_num_heads": heads, "kv_num_heads": heads}
        for mask in inputs[3:]:  # whose last two extents must be whole
            lengths = self.constant([value.type.shape[-2] for value in node.inputs[:2]])
            inputs = [*inputs[:3], self.emit("Expand", [mask, lengths])]
        self.emit("Attention", inputs, output, **attributes)

    def _conv2d(self, node: Node, inputs: list[str], output: str) -> None:
        attributes = node.attributes
        top, bottom, left, right = attributes["padding"]  # type: ignore[misc]
        self.emit(
            "Conv",
            inputs,
            output,
            strides=attributes["stride"],
            dilations=attributes["dilation"],
            group=attributes["groups"],
            pads=[top, left, bottom, right],
        )

    def _group_norm(self, node: Node, inputs: list[str], output: str) -> None:
        groups, epsilon = node.attributes["groups"], node.attributes["epsilon"]
        self.emit("GroupNormalization", inputs, output, num_groups=groups, epsilon=epsilon)

    def _layer_norm(self, node: Node, inputs: list[str], output: str) -> None:
        axis = -len(node.inputs[1].type.shape)
        self.emit("LayerNormalization", inputs, output, axis=axis, epsilon=node.attributes["epsilon"])

    def _fused_group_norm(self, node: Node, inputs: list[str], output: str) -> None:
        attributes, shape = node.attributes, node.inputs[0].type.shape
        x, gamma, beta, *others = inputs
        rows = self.constant((*shape[:2], *[1] * (len(shape) - 2)))
        if attributes["add"] != "none":
            added = others.pop(0)
            x = self.emit("Add", [x, added if attributes["add"] == "full" else self.emit("Reshape", [added, rows])])
        if attributes["keep_sum"]:
            self.emit("Identity", [x], self.name(node.outputs[1]))
        groups, epsilon = attributes["groups"], attributes["epsilon"]
        y = self.emit("GroupNormalization", [x, gamma, beta], num_groups=groups, epsilon=epsilon)
        if attributes["modulated"]:
            scale, shift = (self.emit("Reshape", [name, rows]) for name in others)
            y = self.emit("Sum", [self.emit("Mul", [y, scale]), y, shift])
        silu = attributes["activation"] == "silu"
        self.emit("Mul" if silu else "Identity", [y, self.emit("Sigmoid", [y])] if silu else [y], output)

    def _fused_layer_norm(self, node: Node, inputs: list[str], output: str) -> None:
        x, gamma, beta, added = inputs
        total = self.emit("Add", [added, x])
        if node.attributes["keep_sum"]:
            self.emit("Identity", [total], self.name(node.outputs[1]))
        self.emit("LayerNormalization", [total, gamma, beta], output, axis=-1, epsilon=node.attributes["epsilon"])

    def _geglu(self, node: Node, inputs: list[str], output: str) -> None:
        hidden = self.emit("Add", inputs) if len(inputs) == 2 else inputs[0]
        halves = [f"{output} first", f"{output} second"]
        self.nodes.append(onnx_node("Split", [hidden], halves, axis=-1, num_outputs=2))
        gate, value = halves if node.attributes["gate"] == "first" else reversed(halves)
        gelu = self.emit("Gelu", [gate], approximate=node.attributes["approximate"])
        self.emit("Mul", [gelu, value], output)

    def _bias_activation(self, node: Node, inputs: list[str], output: str) -> None:
        axis, activation = node.attributes["axis"], str(node.attributes["activation"])
        assert isinstance(axis, int)
        rank = len(node.output.type.shape)
        total = self.emit(
            "Add", [inputs[0], self.emit("Reshape", [inputs[1], self.constant([-1] + [1] * (rank - axis - 1))])]
        )
        if activation == "silu":
            self.emit("Mul", [total, self.emit("Sigmoid", [total])], output)
        elif activation.startswith("gelu"):
            self.emit("Gelu", [total], output, approximate="tanh" if activation == "gelu_tanh" else "none")
        else:
            self.emit("Relu" if activation == "relu" else "Identity", [total], output)
