"""Damaged, hostile and merely wrong MindIR files: one sentence with cause and fix, or a module that verifies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from graphs.mindir.model_builder import ModelBuilder, write_sound_file

from coopdraw.graphs.errors import GraphError, MindirError, WeightError
from coopdraw.graphs.mindir.reader import module_from_model, parse_model, read_mindir
from coopdraw.graphs.mindir.schema import schema
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

ALLOWED = (MindirError, WeightError, GraphError)
DATA = "graph_variables/data_0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_sound_file(tmp_path)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    model = parse_model(path.read_bytes(), path.name)
    change(model)
    path.write_bytes(model.SerializeToString())


def refused(path: Path, *words: str) -> None:
    """Reading fails with one sentence that has the words, a cause and a fix."""
    with pytest.raises(ALLOWED) as caught:
        read_mindir(path)
    assert_helpful(str(caught.value), words)


def assert_helpful(message: str, words: Sequence[str]) -> None:
    assert "\n" not in message
    assert "; " in message
    for word in words:
        assert word in message


def test_the_sound_file_is_read(file: Path) -> None:
    verify(read_mindir(file))


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" * 50, bytes(64), b"[pipeline]\n"]
)
def test_a_file_of_another_kind(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mindir").write_bytes(content)
    refused(tmp_path / "a.mindir", "a.mindir is not a MindIR file")


def test_a_protobuf_of_another_kind(file: Path) -> None:
    edit(file, lambda model: model.ClearField("producer_name"))
    refused(file, "no producer")


def test_a_directory(tmp_path: Path) -> None:
    refused(tmp_path, "Is a directory")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.mindir", "none.mindir: No such file")


def test_inspect_says_it_in_one_line_and_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "a.mindir").write_bytes(b"nothing of the kind")
    command = [sys.executable, "-m", "coopdraw.exporter", "inspect", "a.mindir"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: a.mindir is not a MindIR file")
    assert done.stderr.count("\n") == 1


# Data files.


def relocate(location: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.parameter[0].external_data.location = location

    return change


@pytest.mark.parametrize("location", ["../outside", "graph_variables/../../outside", "/etc/passwd", ".."])
def test_data_outside_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(bytes(4096))
    (tmp_path / "inside").mkdir()
    path = write_sound_file(tmp_path / "inside")
    edit(path, relocate(location))
    refused(path, "outside the folder of graph.mindir")


def test_data_outside_the_folder_through_a_link(file: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_bytes(bytes(4096))
    (file.parent / "link").symlink_to(secret)
    edit(file, relocate("link"))
    refused(file, "outside the folder of graph.mindir")


@pytest.mark.parametrize("location", ["", ".", "graph_variables", "none", "graph_variables/none"])
def test_data_that_is_not_there(location: str, file: Path) -> None:
    edit(file, relocate(location))
    refused(file, "which is missing")


@pytest.mark.parametrize(("location", "words"), [("a\0b", "control characters"), ("x" * 5000, "File name too long")])
def test_data_under_an_impossible_name(location: str, words: str, file: Path) -> None:
    edit(file, relocate(location))
    refused(file, words)


def test_data_behind_links_in_a_circle(file: Path) -> None:
    (file.parent / "a").symlink_to(file.parent / "b")
    (file.parent / "b").symlink_to(file.parent / "a")
    edit(file, relocate("a"))
    refused(file, "parameter")


def test_data_that_was_removed(file: Path) -> None:
    (file.parent / DATA).unlink()
    refused(file, DATA, "missing")


def test_data_that_is_too_short(file: Path) -> None:
    data = file.parent / DATA
    data.write_bytes(data.read_bytes()[:70])
    refused(file, DATA, "ends before parameter")


def test_data_that_is_cut_after_it_was_read(file: Path) -> None:
    weight = read_mindir(file).weights["inner.weight"]
    (file.parent / DATA).write_bytes(bytes(70))
    with pytest.raises(WeightError, match="ends at byte 70"):
        weight.read()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("offset", -1, "byte -1"),
        ("offset", -(2**63), "byte -"),
        ("offset", 2**63 - 1, "ends before parameter"),
        ("length", -1, "-1 are declared"),
        ("length", 0, "0 are declared"),
        ("length", 2**63 - 1, "are declared"),
    ],
)
def test_impossible_offsets_and_lengths(key: str, value: int, words: str, file: Path) -> None:
    edit(file, lambda model: setattr(model.graph.parameter[0].external_data, key, value))
    refused(file, words)


@pytest.mark.parametrize(
    ("dims", "words"),
    [((2**62,), "bytes"), ((2**62, 2**62), "bytes"), ((0, 4), "no elements"), ((-1,), "dynamic"), ((3,), "12 bytes")],
)
def test_impossible_extents_of_a_parameter(dims: tuple[int, ...], words: str, file: Path) -> None:
    def change(model: Any) -> None:
        model.graph.parameter[0].dims[:] = dims

    edit(file, change)
    refused(file, words)


def test_a_parameter_without_data(file: Path) -> None:
    edit(file, lambda model: model.graph.parameter[0].ClearField("external_data"))
    refused(file, "0 bytes instead of")


def test_two_parameters_of_one_name(file: Path) -> None:
    edit(file, lambda model: model.graph.parameter.add().CopyFrom(model.graph.parameter[0]))
    refused(file, "two parameters are named bias")


def test_a_name_that_would_write_on_the_terminal(file: Path) -> None:
    edit(file, lambda model: setattr(model.graph.parameter[0], "name", "bias\x1b[2J"))
    refused(file, r"'bias\x1b[2J' has control characters")


@pytest.mark.parametrize("code", [4, 8, 14, 99])
def test_an_element_type_without_meaning(code: int, file: Path) -> None:
    edit(file, lambda model: setattr(model.graph.parameter[0], "data_type", code))
    refused(file)


# Functions.


def function(model: Any, name: str) -> Any:
    return next(proto for proto in model.functions if proto.name == name)


def call(graph: Any, name: str) -> None:
    """Makes a node of `graph` that something depends on a call of function `name`."""
    node = next(node for node in graph.node if node.op_type != "Constant")
    node.op_type = f"REF::{name}"


def test_two_functions_of_one_name(file: Path) -> None:
    edit(file, lambda model: model.functions.add().CopyFrom(model.functions[0]))
    refused(file, "two functions have the same name")


def test_a_function_named_like_the_entry(file: Path) -> None:
    edit(file, lambda model: setattr(function(model, "pad"), "name", "main"))
    refused(file, "both named main")


def test_a_function_that_is_not_there(file: Path) -> None:
    edit(file, lambda model: call(function(model, "pad"), "none"))
    refused(file, "pad calls none, which the file doesn't have")


def test_a_function_that_calls_itself(file: Path) -> None:
    edit(file, lambda model: call(function(model, "pad"), "pad"))
    refused(file, "in a circle: pad -> pad")


def test_functions_that_call_each_other(file: Path) -> None:
    def change(model: Any) -> None:
        call(function(model, "pad"), "slice")
        call(function(model, "slice"), "pad")

    edit(file, change)
    refused(file, "in a circle", "pad", "slice")


def test_a_function_that_calls_the_entry(file: Path) -> None:
    edit(file, lambda model: call(function(model, "pad"), "main"))
    refused(file, "pad calls main")


def test_a_call_with_other_arguments(file: Path) -> None:
    def change(model: Any) -> None:
        node = next(node for node in model.graph.node if node.op_type == "REF::outer.block")
        node.input.append(node.input[0])

    edit(file, change)
    refused(file, "outer.block")


# Nodes.


def first_of(graph: Any, operator: str) -> Any:
    return next(node for node in graph.node if node.op_type.startswith(f"REF::{operator}"))


def test_a_node_that_uses_a_later_output(file: Path) -> None:
    def change(model: Any) -> None:
        first_of(model.graph, "Add").input[0] = model.graph.node[-1].output[0]

    edit(file, change)
    refused(file, "before it is made")


def test_a_name_that_nothing_makes(file: Path) -> None:
    edit(file, lambda model: first_of(model.graph, "Add").input.__setitem__(0, "nobody"))
    refused(file, "main uses nobody before it is made")


def test_a_name_that_two_nodes_make(file: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[-1].output[0] = model.graph.node[0].output[0]

    edit(file, change)
    refused(file, "main has 2 values named")


@pytest.mark.parametrize("kind", ["input", "parameter"])
def test_a_name_that_a_node_and_something_else_make(kind: str, file: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[0].output[0] = getattr(model.graph, kind)[0].name

    edit(file, change)
    refused(file, "main has 2 values named")


def test_two_inputs_of_one_name(file: Path) -> None:
    edit(file, lambda model: model.graph.input.add().CopyFrom(model.graph.input[0]))
    refused(file, "main has 2 values named main:noise")


def test_an_input_that_is_no_tensor(file: Path) -> None:
    edit(file, lambda model: model.graph.input[0].ClearField("tensor"))
    refused(file, "main:noise", "tensors only")


def test_a_dynamic_input(file: Path) -> None:
    def change(model: Any) -> None:
        model.graph.input[0].tensor[0].dims[0] = -1

    edit(file, change)
    refused(file, "input main:noise of main: shape [-1, 4] is dynamic", "static shapes")


def test_a_dynamic_output_of_a_node(file: Path) -> None:
    def change(model: Any) -> None:
        (shape,) = (item for item in first_of(model.graph, "Add").attribute if item.name == "shape")
        shape.tensors[0].dims[:] = [-2]

    edit(file, change)
    refused(file, "Add in the top Cell cannot be imported: shape [-2] is dynamic", "static shapes")


def test_a_graph_without_outputs(file: Path) -> None:
    edit(file, lambda model: model.graph.ClearField("output"))
    refused(file, "main has no outputs")


@pytest.mark.parametrize("count", [0, 2])
def test_a_node_with_another_number_of_outputs(count: int, file: Path) -> None:
    def change(model: Any) -> None:
        model.graph.node[0].output[:] = [f"name{index}" for index in range(count)]

    edit(file, change)
    refused(file, f"has {count} outputs, not 1")


def test_an_unknown_primitive(file: Path) -> None:
    def change(model: Any) -> None:
        node = first_of(model.graph, "Add")
        node.op_type, node.domain = "Frobnicate", "Default/blocks-CellList/0-Block/attn-Attention/Add-op0"

    edit(file, change)
    refused(file, "Frobnicate in Cell blocks.0.attn is not supported", "importer")


def test_two_primitives_of_one_name(file: Path) -> None:
    edit(file, lambda model: model.primitives.add().CopyFrom(model.primitives[0]))
    refused(file, "two primitives have the same name")


def test_a_wrong_declared_shape(file: Path) -> None:
    def change(model: Any) -> None:
        (shape,) = (item for item in first_of(model.graph, "Add").attribute if item.name == "shape")
        shape.tensors[0].dims[:] = [7, 7]

    edit(file, change)
    refused(file, "declared to give float32[7, 7], but gives float32[2, 4]")


def test_a_wrong_declared_shape_among_several(file: Path) -> None:
    def change(model: Any) -> None:
        node = next(node for node in function(model, "outer.block").node if node.op_type == "REF::inner.block")
        (shape,) = (item for item in node.attribute if item.name == "shape")
        shape.values[0].tensors[0].dims[1] += 1

    edit(file, change)
    refused(file, "is declared to give")


def constant_of(model: Any) -> Any:
    """The value of a tensor constant."""
    values = (node.attribute[0] for graph in model.functions for node in graph.node if node.op_type == "Constant")
    return next(value for value in values if value.type == schema().AttributeProto.TENSORS)


def test_a_constant_with_another_number_of_bytes(file: Path) -> None:
    def change(model: Any) -> None:
        constant_of(model).tensors[0].raw_data += b"\0"

    edit(file, change)
    refused(file, "a constant of", "bytes instead of")


def test_a_huge_constant_of_few_bytes(file: Path) -> None:
    def change(model: Any) -> None:
        constant_of(model).tensors[0].dims[:] = [2**62, 2**62]

    edit(file, change)
    refused(file, "a constant of", "bytes instead of")


def test_a_constant_without_a_value(file: Path) -> None:
    def change(model: Any) -> None:
        node = next(node for node in function(model, "pad").node if node.op_type == "Constant")
        node.ClearField("attribute")

    edit(file, change)
    refused(file, "has no value")


@pytest.mark.parametrize("depth", [5, 60, 3000])
def test_deeply_nested_tuples(depth: int, file: Path) -> None:
    item = schema().AttributeProto(type=schema().AttributeProto.INT64, i=1)
    content = item.SerializeToString()
    for _ in range(depth):  # by hand: protobuf itself refuses to build this deep
        content = b"\x80\x01\x14" + b"\x8a\x01" + _varint(len(content)) + content
    node = schema().NodeProto(op_type="Constant", output=["deep"])
    output = schema().ValueInfoProto(name="deep").SerializeToString()
    attribute = b"\x0a\x05value" + content
    node_content = (
        node.SerializeToString() + _field(schema().NodeProto, "attribute") + _varint(len(attribute)) + attribute
    )
    graph = _field(schema().GraphProto, "node") + _varint(len(node_content)) + node_content
    graph += _field(schema().GraphProto, "output") + _varint(len(output)) + output
    header = schema().ModelProto(producer_name="MindSpore", model_version="2").SerializePartialToString()
    file.write_bytes(header + _field(schema().ModelProto, "graph") + _varint(len(graph)) + graph)
    refused(file)


def _field(message: Any, name: str) -> bytes:
    """The tag of a length-delimited field."""
    return _varint(message.DESCRIPTOR.fields_by_name[name].number << 3 | 2)


def _varint(number: int) -> bytes:
    low = number & 127
    return bytes([low]) if number < 128 else bytes([low | 128]) + _varint(number >> 7)


def test_tuples_that_double_at_every_node_are_refused_at_once() -> None:
    builder = ModelBuilder([TensorType(DType.FLOAT32, (2,))])
    name = "x0"
    for index in range(200):
        name = builder.node(f"t{index}", "MakeTuple", [name, name])
    builder.output(builder.node("y", "Sqrt", [name]))
    with pytest.raises(MindirError) as caught:
        module_from_model(builder.model)
    assert len(str(caught.value)) < 1000
