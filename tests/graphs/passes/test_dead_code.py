"""dead-code looks through calls, and never removes what an output of the entry depends on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.passes.dead_code import DeadCode
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

PAIR = TensorType(DType.FLOAT32, (2,))


def two_outputs(name: str) -> Graph:
    """(x, state) to (x * w, state + x)."""
    function = GraphBuilder(name)
    x, state = function.input("x", PAIR), function.input("state", PAIR)
    scaled = function.add("mul", x, function.weight("w", PAIR))
    return function.build([scaled, function.add("add", state, x)], ["y", "next"])


def test_state_that_only_feeds_itself_is_removed_from_the_whole_loop() -> None:
    step = two_outputs("step")
    entry = GraphBuilder("main")
    x, state = entry.input("x", PAIR), entry.input("state", PAIR)
    for _ in range(3):
        x, state = entry.call(step, x, state)
    module = Module(entry.build([x]), {"step": step}, {"w": ArrayWeight(np.ones(2, np.float32))})

    result = DeadCode().run(module)

    assert [value.name for value in result.module.entry.inputs] == ["x"]
    assert [value.name for value in result.module.functions["step"].inputs] == ["x"]
    assert result.module.functions["step"].output_names == ("y",)
    # one node in the function, one input and output there, one input of the entry; 3 calls of an addition of 2 elements
    saved = {"nodes_removed": 1, "flops_saved": 6, "bytes_saved": 3 * 3 * 8}
    assert dict(result.notes) == saved | {"inputs_removed": 2, "outputs_removed": 1}


def test_output_used_at_one_call_is_kept_at_all() -> None:
    step = two_outputs("step")
    entry = GraphBuilder("main")
    x = entry.input("x", PAIR)
    first, _ = entry.call(step, x, x)
    _, second = entry.call(step, first, x)
    module = Module(entry.build([second]), {"step": step}, {"w": ArrayWeight(np.ones(2, np.float32))})
    assert DeadCode().run(module).module is module


def test_functions_made_of_the_same_values_are_told_apart() -> None:
    """A texture UNet can be the structure UNet's graph under another name."""
    structure = two_outputs("structure")
    texture = replace(structure, name="texture")
    entry = GraphBuilder("main")
    x = entry.input("x", PAIR)
    y, _ = entry.call(structure, x, x)
    _, z = entry.call(texture, x, x)
    functions = {"structure": structure, "texture": texture}
    module = Module(entry.build([y, z]), functions, {"w": ArrayWeight(np.ones(2, np.float32))})

    result = DeadCode().run(module)

    verify(result.module)
    assert result.module.functions["structure"].output_names == ("y",)
    assert result.module.functions["texture"].output_names == ("next",)
    assert list(result.module.weights) == ["w"]


def test_split_keeps_all_outputs_if_one_is_used() -> None:
    entry = GraphBuilder("main")
    x = entry.input("x", PAIR)
    first, _ = entry.add_many("split", x, axis=0, sizes=(1, 1))
    module = Module(entry.build([first]))
    assert not DeadCode().run(module).modified
