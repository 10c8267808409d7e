"""Random damage to MindIR files: one of our errors in one line, or a module that verifies; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs.mindir.model_builder import ModelBuilder, declare, fill, write_sound_file
from hypothesis import given, settings
from hypothesis import strategies as st

from coopdraw.graphs.errors import GraphError, MindirError, WeightError
from coopdraw.graphs.mindir.primitives import imported_primitives
from coopdraw.graphs.mindir.reader import module_from_model, parse_model, read_mindir
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify

ALLOWED = (MindirError, WeightError, GraphError)


def assert_one_line(error: Exception) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 2000


def check_bytes(path: Path, content: bytes) -> None:
    """One of the errors, or a module that verifies and whose weights can be read."""
    path.write_bytes(content)
    try:
        module = read_mindir(path)
    except ALLOWED as error:
        assert_one_line(error)
        return
    verify(module)
    for weight in module.weights.values():
        assert weight.read().nbytes == weight.type.nbytes


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file that tests may overwrite, and its sound content."""
    path = write_sound_file(tmp_path_factory.mktemp("faults"))
    return path, path.read_bytes()


def test_every_length_of_a_truncated_file(shared_file: tuple[Path, bytes]) -> None:
    path, content = shared_file
    for length in range(0, len(content), 29):
        check_bytes(path, content[:length])


@given(data=st.data())
@settings(max_examples=250)
def test_flipped_bytes(shared_file: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = shared_file
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    check_bytes(path, bytes(damaged))


@given(start=st.integers(0, 1 << 16), length=st.integers(1, 200), filling=st.binary(max_size=200))
@settings(max_examples=250)
def test_exchanged_parts(shared_file: tuple[Path, bytes], start: int, length: int, filling: bytes) -> None:
    path, content = shared_file
    start %= len(content)
    check_bytes(path, content[:start] + filling + content[start + length :])


TYPES = [
    TensorType(dtype, shape)
    for dtype in (DType.FLOAT32, DType.FLOAT16, DType.INT32, DType.BOOL)
    for shape in ((), (4,), (2, 3), (2, 3, 4), (1, 4, 6, 6), (4, 4, 3, 3))
] + [TensorType(DType.FLOAT32, (2**62,)), TensorType(DType.BFLOAT16, (2, 3)), TensorType(DType.INT64, (2**40, 3))]
SMALL = st.integers(-3, 6)
INTEGERS = st.one_of(SMALL, st.integers(-(2**63), 2**63 - 1))
SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(width=32), st.sampled_from(["same", "pad", "NHWC"]))
ARRAYS = st.sampled_from([np.float32(2.5), np.array([1, 2], np.int64), np.array(-1, np.int32), np.ones((2, 3), bool)])
VALUES = st.one_of(
    SCALARS,
    st.lists(SMALL, max_size=5).map(tuple),
    st.lists(INTEGERS, max_size=4).map(tuple),
    st.lists(st.lists(SMALL, min_size=2, max_size=2).map(tuple), max_size=4).map(tuple),
    ARRAYS.map(np.asarray),
)
NAMES = ["axis", "pad", "pad_mode", "stride", "dilation", "group", "format", "paddings", "mode", "num", "base", "side"]
DECLARED = st.one_of(st.none(), st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), max_size=3))


@given(
    operator=st.sampled_from(imported_primitives()),
    types=st.lists(st.sampled_from(TYPES), max_size=3),
    values=st.lists(VALUES, max_size=9),
    attributes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3),
    declared=DECLARED,
    as_tuple=st.booleans(),
)
@settings(max_examples=2000)
def test_any_arguments_of_any_primitive(
    operator: str,
    types: list[TensorType],
    values: list[object],
    attributes: dict[str, object],
    declared: TensorType | list[TensorType] | None,
    as_tuple: bool,
) -> None:
    builder = ModelBuilder(types)
    tensors = [f"x{index}" for index in range(len(types))]
    if as_tuple:
        tensors = [builder.node("all", "MakeTuple", tensors)]
    inputs = tensors + [builder.constant(value) for value in values]
    builder.output(builder.node("y", operator, inputs))
    node = builder.model.graph.node[-1]
    for name, value in attributes.items():
        fill(node.attribute.add(name=name), value)
    declare(node, declared)
    try:
        module = module_from_model(parse_model(builder.model.SerializePartialToString(), "fuzz"))
    except ALLOWED as error:
        assert_one_line(error)
        return
    verify(module)


@given(data=st.data())
@settings(max_examples=300)
def test_one_thing_changed_in_a_sound_file(shared_file: tuple[Path, bytes], data: st.DataObject) -> None:
    path, content = shared_file
    model = parse_model(content, path.name)
    graph = data.draw(st.sampled_from([model.graph, *model.functions]))
    change = data.draw(
        st.sampled_from([change_input, change_operator, change_constant, change_shape, change_attribute])
    )
    change(model, graph, data)
    check_bytes(path, model.SerializeToString())


def change_input(model: Any, graph: Any, data: st.DataObject) -> None:
    """Leaves an input out, puts one in, or exchanges it for another value of the graph."""
    node = data.draw(st.sampled_from(list(graph.node)))
    names = [entry.name for entry in graph.input] + [other.output[0] for other in graph.node]
    index = data.draw(st.integers(0, len(node.input)))
    new = data.draw(st.lists(st.sampled_from(names), max_size=2))
    node.input[:] = [*node.input[:index], *new, *node.input[index + 1 :]]


def change_operator(model: Any, graph: Any, data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(list(graph.node)))
    functions = [f"REF::{function.name}" for function in model.functions]
    node.op_type = data.draw(st.sampled_from([*imported_primitives(), *functions, "Constant", "UpdateState", "Depend"]))


def change_constant(model: Any, graph: Any, data: st.DataObject) -> None:
    constants = [node for node in graph.node if node.op_type == "Constant"]
    if constants:
        node = data.draw(st.sampled_from(constants))
        node.ClearField("attribute")
        fill(node.attribute.add(name="value"), data.draw(VALUES))


def change_shape(model: Any, graph: Any, data: st.DataObject) -> None:
    """Other dims or another element type for an input, an output of a node, or a parameter."""
    nodes = [item for node in graph.node for item in node.attribute if item.name == "shape"]
    tensors = [tensor for item in nodes for tensor in item.tensors]
    tensors += [tensor for entry in graph.input for tensor in entry.tensor] + list(model.graph.parameter)
    tensor = data.draw(st.sampled_from(tensors))
    if data.draw(st.booleans()):
        tensor.dims[:] = data.draw(st.lists(INTEGERS, max_size=5))
    else:
        tensor.data_type = data.draw(st.integers(0, 20))


def change_attribute(model: Any, graph: Any, data: st.DataObject) -> None:
    attributes = [attribute for primitive in model.primitives for attribute in primitive.attribute]
    attribute = data.draw(st.sampled_from(attributes))
    name = attribute.name
    attribute.Clear()
    fill(attribute, data.draw(VALUES))
    attribute.name = name
