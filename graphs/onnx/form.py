"""For whom a model is written: which operators it may have, and how steps and functions stand in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from coopdraw.graphs.ir import Attribute, Node


@dataclass(frozen=True)
class CustomOperator:
    """A node as an operator of the device or of an installed package sees it.

    `inputs` and `outputs` have, in the order of the operator's prototype, the index of the node's operand under each
    name; None for one that the node doesn't have. `optional` are names of inputs that may be left out. With `parsed`,
    the converter knows the operator as a node of its own type; else it is a `Custom` node.
    """

    type: str
    inputs: Mapping[str, int | None]
    outputs: Mapping[str, int | None]
    attributes: Mapping[str, Attribute]
    optional: frozenset[str] = frozenset()
    parsed: bool = False


Customs: TypeAlias = Callable[[Node], CustomOperator | None]
"""Which operator of a package computes a node; None for one that ONNX's own operators are for."""


def no_customs(node: Node) -> None:
    """Leaves everything to ONNX's own operators."""


@dataclass(frozen=True)
class OnnxForm:
    """How a program is written as ONNX.

    With `functions`, functions of the program and fused operators are model-local functions; without, everything lies
    open. With `loops`, steps that are alike become the body of a Scan, so that each network is there once: runtimes put
    functions in the place of their calls, with weights that they prepare for each. `microsoft` allows operators of the
    domain com.microsoft that ONNX Runtime has on the CPU. Nodes that `customs` knows become `Custom` nodes.
    """

    opset: int
    functions: bool = True
    loops: bool = True
    microsoft: bool = False
    customs: Customs = no_customs


PORTABLE = OnnxForm(opset=21)
"""Standard operators only: for any runtime with Scan and model-local functions."""
ONNXRUNTIME = OnnxForm(opset=21, microsoft=True)
"""For ONNX Runtime on the CPU, 1.20 or newer."""


def lite_form(customs: Customs = no_customs) -> OnnxForm:
    """For MindSpore Lite's converter, which has neither functions nor LayerNormalization's epsilon in ONNX files.

    Source: mindspore-ai/mindspore:mindspore/lite/tools/converter/parser/onnx/onnx_layer_norm_parser.cc.
    """
    return OnnxForm(opset=13, functions=False, loops=False, customs=customs)
