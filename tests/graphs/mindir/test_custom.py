"""Custom nodes: a kernel's node is written with what it stands for, and read as that again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Module, Node
from coopdraw.graphs.mindir.custom import MEANING, CustomKernel
from coopdraw.graphs.mindir.reader import module_from_model, parse_model, read_mindir
from coopdraw.graphs.mindir.writer import write_mindir
from coopdraw.graphs.types import DType, TensorType


def combination(weights: tuple[float, ...] = (0.5, -2.0)) -> Module:
    builder = GraphBuilder("main")
    builder.source = "step.3"
    inputs = [builder.input(f"x{index}", TensorType(DType.FLOAT32, (2, 3))) for index in range(len(weights))]
    return Module(builder.build([builder.add("linear_combination", *inputs, weights=weights)], ["y"]))


def kernel(node: Node) -> CustomKernel | None:
    """A kernel for sums of two."""
    weights = node.attributes.get("weights", ())
    assert isinstance(weights, tuple)
    return CustomKernel("kernels/sums.so", "weighted_sum", np.asarray(weights)) if len(weights) == 2 else None


def operators(path: Path) -> list[str]:
    return [node.operator for node in read_mindir(path).entry.nodes]


def test_a_kernel_is_a_custom_node_and_read_as_its_operator(tmp_path: Path) -> None:
    path = tmp_path / "graph.mindir"
    write_mindir(combination(), path, kernel)
    model = parse_model(path.read_bytes(), "graph.mindir")
    (primitive,) = (item for item in model.primitives if item.op_type == "Custom")
    attributes = {attribute.name: attribute.s.decode() for attribute in primitive.attribute}
    assert attributes["func_name"] == "kernels/sums.so:weighted_sum"
    assert attributes["func_type"] == "aot"
    (node,) = (node for node in read_mindir(path).entry.nodes if node.operator == "linear_combination")
    assert node.attributes["weights"] == (0.5, -2.0)
    assert node.source == "step.3"
    assert [value.name for value in node.inputs] == ["x0", "x1"]


def test_the_kernel_gets_the_attributes_as_its_last_input(tmp_path: Path) -> None:
    path = tmp_path / "graph.mindir"
    write_mindir(combination((1.5, 0.25)), path, kernel)
    model = parse_model(path.read_bytes(), "graph.mindir")
    (custom,) = (node for node in model.graph.node if "Custom" in node.op_type)
    (constant,) = (node for node in model.graph.node if node.output[0] == custom.input[-1])
    np.testing.assert_array_equal(np.frombuffer(constant.attribute[0].tensors[0].raw_data), [1.5, 0.25])


def test_a_node_without_a_kernel_is_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "graph.mindir"
    write_mindir(combination((1.0, 2.0, 3.0)), path, kernel)
    assert "linear_combination" not in operators(path)
    write_mindir(combination(), path)
    assert "linear_combination" not in operators(path)


def test_what_was_read_can_be_written_again(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mindir", tmp_path / "b.mindir"
    write_mindir(combination(), first, kernel)
    write_mindir(read_mindir(first), second, kernel)
    assert operators(second).count("linear_combination") == 1


@pytest.mark.parametrize(
    ("meaning", "message"),
    [
        (b"", "custom operator that coopdraw doesn't know"),
        (b"[]", "custom operator that coopdraw doesn't know"),
        (b'{"operator": "linear_combination"}', "custom operator that coopdraw doesn't know"),
        (b'{"operator": "linear_combination", "attributes": {"weights": [1.0]}}', "which it can't be"),
        (b'{"operator": "invert", "attributes": {}}', "which it can't be"),
    ],
)
def test_a_custom_node_of_others_is_refused(meaning: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.mindir"
    write_mindir(combination(), path, kernel)
    model = parse_model(path.read_bytes(), "graph.mindir")
    (primitive,) = (item for item in model.primitives if item.op_type == "Custom")
    (attribute,) = (item for item in primitive.attribute if item.name == MEANING)
    attribute.s = meaning
    with pytest.raises(MindirError, match=f"Custom in Cell step.3 .*{message}"):
        module_from_model(model, tmp_path)
