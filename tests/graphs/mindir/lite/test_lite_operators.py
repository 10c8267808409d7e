"""Every operator and the ways through networks: MindSpore Lite gives what the interpreter gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from graphs.mindir.lite.image_cases import CASES as IMAGE_CASES
from graphs.mindir.lite.lite_oracle import Arrays, joined, run_in_lite
from graphs.mindir.lite.trap_cases import TRAPS
from graphs.mindir.operator_cases import OperatorCase, operator_cases

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir.lite.emission import lite_operators
from coopdraw.graphs.mindir.lite.writer import write_lite
from coopdraw.graphs.ops import lookup, operator_names
from coopdraw.graphs.types import DType, TensorType

# Lite's exp is good to 3e-6 of its value, and its convolutions by Winograd to about 3e-6 of the output's range.
RELATIVE, ABSOLUTE = 2e-5, 2e-5
NOT_IN_LITE = {"round"}
"""Rounds halves away from zero there; nothing that samples rounds."""
HALF = "dtype=float16"

SIMPLE = [case for case in operator_cases() if case.operator not in NOT_IN_LITE and HALF not in case.name]


def stored(case: OperatorCase) -> OperatorCase:
    """The case with everything but its first input as constants, as weights are."""
    first, *others = case.inputs
    return OperatorCase(
        f"{case.name} stored",
        case.operator,
        (first,),
        lambda b, x: case.build(b, x, *(b.constant(array) for array in others)),
    )


def all_cases() -> dict[str, OperatorCase]:
    layers = [stored(case) for case in SIMPLE if case.operator in ("conv2d", "linear", "matmul")]
    computed = [case for case in SIMPLE if "grouped" not in case.name and "depthwise" not in case.name]
    cases = {f"operator {index} {case.name}": case for index, case in enumerate([*computed, *layers])}
    for trap, group in TRAPS.items():
        cases |= {f"trap {trap} {index}": case for index, case in enumerate(group)}
    return cases


OPERATORS = all_cases()


@pytest.fixture(scope="module", params=[1, 2], ids=["one thread", "two threads"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Arrays, Arrays]:
    """What Lite and what the interpreter give, for all cases: starting Lite costs seconds, a small model little."""
    modules = {name: case.module() for name, case in OPERATORS.items()} | IMAGE_CASES
    feeds = {f"{name}:{key}": array for name, case in OPERATORS.items() for key, array in case.feeds().items()}
    generator = np.random.default_rng(5)
    for name, module in IMAGE_CASES.items():
        for value in module.entry.inputs:
            whole = value.type.dtype is DType.INT32
            drawn = (
                generator.integers(0, 20, value.type.shape) if whole else generator.standard_normal(value.type.shape)
            )
            feeds[f"{name}:{value.name}"] = drawn.astype(value.type.dtype.numpy)
    module = joined(modules)
    found = run_in_lite(module, feeds, tmp_path_factory.mktemp("lite") / "bundle", request.param)
    return found, interpreter.run(module, feeds)


def check(name: str, results: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]) -> None:
    found, wanted = results
    outputs = [key for key in wanted if key.startswith(f"{name}:")]
    assert outputs
    for key in outputs:
        exact = wanted[key]
        assert found[key].dtype == exact.dtype
        # Lite has no tensors of rank 0.
        assert found[key].shape == (exact.shape or (1,))
        np.testing.assert_allclose(found[key].reshape(exact.shape), exact, rtol=RELATIVE, atol=ABSOLUTE, err_msg=key)


@pytest.mark.parametrize("name", list(OPERATORS))
def test_operator(name: str, results: tuple[Arrays, Arrays]) -> None:
    check(name, results)


@pytest.mark.parametrize("name", list(IMAGE_CASES))
def test_images(name: str, results: tuple[Arrays, Arrays]) -> None:
    check(name, results)


def test_every_plain_operator_has_a_form_or_is_refused() -> None:
    plain = {name for name in operator_names() if lookup(name).decompose is None}
    assert plain - set(lite_operators()) == NOT_IN_LITE | {"call", "weight", "identity"}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (OperatorCase("round", "round", (np.ones(3, np.float32),), lambda b, x: b.add("round", x)), "round"),
        (
            OperatorCase("half", "cast", (np.ones(3, np.float32),), lambda b, x: b.add("cast", x, dtype="float16")),
            "float16",
        ),
    ],
    ids=["operator", "element type"],
)
def test_what_lite_cannot_compute_names_node_cell_and_fix(case: OperatorCase, words: str, tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    x = builder.input("x", TensorType.of(case.inputs[0]))
    builder.source = "blocks.1"
    result = case.build(builder, x)
    assert not isinstance(result, tuple)
    with pytest.raises(MindirError, match=re.escape(f"%{result.name} ({case.operator}, Cell blocks.1)")) as caught:
        write_lite(Module(builder.build([result], ["y"])), tmp_path / "graph.json")
    assert words in str(caught.value)
    assert re.search("; (compile|add|make) ", str(caught.value))


def test_a_computed_weight_of_a_convolution_in_groups_is_refused(tmp_path: Path) -> None:
    settings = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 2}
    builder = GraphBuilder("main")
    x, weight = (builder.input(name, TensorType(DType.FLOAT32, shape)) for name, shape in _GROUPED.items())
    module = Module(builder.build([builder.add("conv2d", x, weight, **settings)], ["y"]))
    with pytest.raises(MindirError, match="in groups"):
        write_lite(module, tmp_path / "graph.json")


_GROUPED = {"x": (1, 4, 3, 3), "weight": (4, 2, 1, 1)}
