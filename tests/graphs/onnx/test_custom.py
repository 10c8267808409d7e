"""Custom nodes have the attributes that the documentation of MindSpore Lite's converter asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import OnnxError
from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.onnx.form import CustomOperator, lite_form
from coopdraw.graphs.onnx.writer import write_onnx
from coopdraw.graphs.types import DType, TensorType

NORM = {"groups": 2, "epsilon": 0.5, "activation": "silu", "add": "none", "modulated": False, "keep_sum": False}


def norm(**changes: Any) -> Module:
    """A fused_group_norm in Cell block.norm, with the operands that its attributes ask for."""
    attributes = NORM | changes
    builder = GraphBuilder("main")
    builder.source = "block.norm"
    shapes = [
        (2, 4, 3, 3),
        (4,),
        (4,),
        *[(2, 4)] * (attributes["add"] == "channel"),
        *[(2, 4)] * 2 * attributes["modulated"],
    ]
    values = [builder.input(f"x{index}", TensorType(DType.FLOAT32, shape)) for index, shape in enumerate(shapes)]
    outputs = builder.add_many("fused_group_norm", *values, **attributes)
    return Module(builder.build(outputs, [f"y{index}" for index in range(len(outputs))]))


def package(node: Node) -> CustomOperator | None:
    """An operator that takes a group norm with everything but a full sum."""
    attributes = node.attributes
    if node.operator != "fused_group_norm" or attributes["add"] == "full":
        return None
    names = ["added"] * (attributes["add"] == "channel") + ["scale", "shift"] * bool(attributes["modulated"])
    places = {name: 3 + index for index, name in enumerate(names)}
    return CustomOperator(
        "CoopdrawGroupNorm",
        inputs={"x": 0, "gamma": 1, "beta": 2, **{name: places.get(name) for name in ("added", "scale", "shift")}},
        outputs={"y": 0, "sum": 1 if attributes["keep_sum"] else None},
        attributes={
            "groups": attributes["groups"],
            "epsilon": attributes["epsilon"],
            "keep_sum": attributes["keep_sum"],
            "sizes": (1, 2),
        },
        optional=frozenset({"added", "scale", "shift"}),
    )


def custom_node(module: Module, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The only node besides those that name outputs, and its attributes."""
    path = folder / "graph.onnx"
    write_onnx(module, path, lite_form(package))
    (node,) = (node for node in onnx.load(str(path)).graph.node if node.op_type != "Identity")
    return node, {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def test_names_are_those_of_the_prototype(tmp_path: Path) -> None:
    node, attributes = custom_node(norm(), tmp_path)
    assert (node.op_type, node.domain) == ("Custom", "")
    assert list(node.input) == ["x0", "x1", "x2"]
    assert node.name.startswith("block.norm/")
    assert attributes["type"] == b"CoopdrawGroupNorm"
    assert attributes["input_names"] == [b"x", b"gamma", b"beta"]
    assert attributes["output_names"] == [b"y", b"sum"]
    assert "optional_input_names" not in attributes


def test_flags_are_texts_and_numbers_numbers(tmp_path: Path) -> None:
    _, attributes = custom_node(norm(), tmp_path)
    assert attributes["keep_sum"] == b"false"
    assert (attributes["groups"], attributes["epsilon"], attributes["sizes"]) == (2, 0.5, [1, 2])


def test_the_number_of_outputs_is_there_only_if_one_of_several_is_used(tmp_path: Path) -> None:
    _, attributes = custom_node(norm(), tmp_path)
    assert attributes["output_num"] == 2
    node, attributes = custom_node(norm(add="channel", keep_sum=True), tmp_path)
    assert "output_num" not in attributes
    assert len(node.output) == 2


def test_optional_inputs_that_are_there_are_named(tmp_path: Path) -> None:
    node, attributes = custom_node(norm(modulated=True), tmp_path)
    assert list(node.input) == ["x0", "x1", "x2", "x3", "x4"]
    assert attributes["input_names"] == [b"x", b"gamma", b"beta", b"scale", b"shift"]
    assert attributes["optional_input_names"] == [b"scale", b"shift"]


def test_what_the_package_does_not_have_is_taken_apart(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType(DType.FLOAT32, (2, 8)))
    module = Module(builder.build([builder.add("geglu", x, approximate="none", gate="second")], ["y"]))
    write_onnx(module, tmp_path / "graph.onnx", lite_form(package))
    operators = {node.op_type for node in onnx.load(str(tmp_path / "graph.onnx")).graph.node}
    assert "Custom" not in operators
    assert "Erf" in operators


def test_outputs_must_be_the_first_ones_of_the_prototype(tmp_path: Path) -> None:
    def second(node: Node) -> CustomOperator:
        return CustomOperator("Split", {"x": 0}, {"mean": None, "y": 0}, {})

    with pytest.raises(OnnxError, match=r"Cell block.norm\) doesn't have the first outputs of Split"):
        write_onnx(norm(), tmp_path / "graph.onnx", lite_form(second))
