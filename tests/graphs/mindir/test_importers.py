"""Every primitive that has an importer: traced from a Cell, its meaning compared with an independent executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs.mindir.importer_case import FLAGS, HALF, IMAGE, INDICES, X
from graphs.mindir.importer_case import Case as ImporterCase
from graphs.mindir.importer_cells import Apply
from graphs.mindir.importer_compute_cases import compute_cases
from graphs.mindir.importer_shape_cases import shape_and_size_cases
from mindspore import mint, ops
from mindspore.ops.auto_generate import gen_ops_prim as primitives

from coopdraw.exporter import tracing
from coopdraw.graphs import interpreter
from coopdraw.graphs.errors import MindirError
from coopdraw.graphs.ir import Module
from coopdraw.graphs.mindir import graph_reader
from coopdraw.graphs.mindir.primitives import Importer, PrimitiveCall, find_importer, imported_primitives
from coopdraw.graphs.mindir.reader import module_from_model
from coopdraw.graphs.types import TensorType
from coopdraw.graphs.verifier import verify
from graphs.mindir import importer_cells as cells

functional = mint.nn.functional
CASES = compute_cases() + shape_and_size_cases()
NEVER_TRACED = {
    "TensorMove": "only where MindSpore copies the data of a parameter",
    "StopGradient": "the front end takes it out of a graph without gradients",
    "Copy": "Tensor.copy is traced as a division by one",
    "View": "MindSpore 2.10 has no type inference for it in a graph",
    "ZerosLike": "the front end computes it, as it knows the shape",
    "OnesLike": "the front end computes it, as it knows the shape",
}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MindSpore may leave a folder with what it couldn't trace."""
    monkeypatch.chdir(tmp_path)


def trace(cell: Any, inputs: tuple[np.ndarray, ...], outputs: int) -> tuple[Module, dict[str, np.ndarray]]:
    """The verified Module of a Cell, and its inputs by name."""
    feeds = {f"x{index}": array for index, array in enumerate(inputs)}
    types = {name: TensorType.of(array) for name, array in feeds.items()}
    module = tracing.trace(cell, "main", types, [f"y{index}" for index in range(outputs)])
    verify(module)
    return module, feeds


def test_every_primitive_has_a_case() -> None:
    # Custom nodes are in test_custom.py: no Cell is traced to one.
    assert {case.primitive for case in CASES} | NEVER_TRACED.keys() | {"Custom"} == set(imported_primitives())
    assert not {case.primitive for case in CASES} & NEVER_TRACED.keys()


@pytest.mark.parametrize("case", CASES, ids=[case.primitive for case in CASES])
def test_primitive(case: ImporterCase, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def find(call: PrimitiveCall) -> Importer:
        seen.append(call.operator)
        return find_importer(call)

    monkeypatch.setattr(graph_reader, "find_importer", find)
    expected = case.results()
    module, feeds = trace(case.cell, case.inputs, len(expected))
    assert case.primitive in seen
    for result, wanted in zip(interpreter.run(module, feeds).values(), expected, strict=True):
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, rtol=case.tolerance, atol=case.tolerance)


@pytest.mark.parametrize("primitive", NEVER_TRACED)
def test_a_primitive_of_other_files(primitive: str) -> None:
    model = tracing._front_end(Apply(ops.Identity()), "main", {"x0": TensorType.of(X)})
    (proto,) = (item for item in model.primitives if item.op_type == "Identity")
    proto.op_type = primitive
    module = module_from_model(model)
    verify(module)
    (result,) = interpreter.run(module, {module.entry.inputs[0].name: X}).values()
    wanted = {"ZerosLike": np.zeros_like(X), "OnesLike": np.ones_like(X)}.get(primitive, X)
    np.testing.assert_array_equal(result, wanted)


def test_a_bias_goes_into_the_product_it_follows() -> None:
    for case in CASES:
        if case.cell.function in (cells.biased_convolution_and_itself, cells.biased_product_and_itself):
            module, _ = trace(case.cell, case.inputs, 2)
            products = [node for node in module.entry.nodes if node.operator in ("conv2d", "linear", "matmul")]
            assert sorted(len(node.inputs) for node in products) == [2, 3]
            assert "add" not in {node.operator for node in module.entry.nodes}


def test_a_generator_without_use_is_left_out() -> None:
    module, feeds = trace(Apply(cells.idle_dropout), (X,), 1)
    assert not module.weights
    np.testing.assert_array_equal(interpreter.run(module, feeds)["y0"], X + 1)


def test_a_result_known_while_tracing_is_a_constant() -> None:
    module, feeds = trace(Apply(cells.ones_known_while_tracing), (HALF,), 1)
    np.testing.assert_array_equal(interpreter.run(module, feeds)["y0"], np.ones_like(HALF))


def test_filling_a_tensor_costs_no_memory() -> None:
    case = next(case for case in CASES if case.primitive == "FullLike")
    module, _ = trace(case.cell, case.inputs, 1)
    constants = [node.output.type.size for node in module.entry.nodes if node.operator == "constant"]
    assert constants == [1]


REFUSED = {
    "BiasAdd": (Apply(ops.BiasAdd("NHWC")), (X, X[0, 0]), "channels last"),
    "AvgPool": (Apply(ops.AvgPool(2, 2, "same")), (IMAGE,), "pad_mode='valid'"),
    "AvgPool2D": (Apply(functional.avg_pool2d, 5, 2, ceil_mode=True), (IMAGE,), "rounds up"),
    "Softmax": (Apply(ops.Softmax((0, 1))), (X,), "several axes"),
    "Round": (Apply(mint.round, decimals=2), (X,), "decimals"),
    "Gather": (Apply(ops.gather, 1, 1), (X, INDICES), "batch_dims"),
    "Embedding": (Apply(cells.embedding_with_norm), (INDICES, X[0]), "max_norm"),
    "MatMulExt": (Apply(mint.matmul), (X, X[0, 0]), "vector"),
    "PadV3": (Apply(ops.PadV3("reflect"), (1, 1)), (X,), "mode 'reflect'"),
    "PadV3 by side": (Apply(ops.PadV3("constant", False), (0, 1, 0, 0, 0, 2), 0.0), (X,), "by axis"),
    "StridedSlice": (Apply(cells.reversed_rows), (X,), "positive step"),
    "ResizeBicubic": (Apply(ops.interpolate, (9, 4), mode="bicubic"), (IMAGE,), "align_corners"),
    "UpsampleNearest2D": (Apply(functional.interpolate, scale_factor=1.25), (IMAGE,), "pass the size"),
    "SoftplusExt": (Apply(functional.softplus, 2), (X,), "beta"),
    "LinalgVectorNorm": (Apply(mint.norm, 1), (X,), "order 2"),
    "RepeatInterleaveInt": (Apply(mint.repeat_interleave, 2), (X,), "give a dim"),
    "ReduceSum": (Apply(ops.ReduceSum(False, True), ()), (X,), "skip_mode"),
    "FlashAttentionScore": (Apply(cells.windowed_flash_attention), (IMAGE, IMAGE, IMAGE), "window"),
    "Split": (Apply(primitives.SplitTensor(), 1, 0), (np.zeros(5000, np.float32),), "4096 parts"),
    "LogicalXor": (Apply(mint.logical_xor), (FLAGS, FLAGS), "LogicalXor in the top Cell is not supported"),
    "if": (Apply(cells.branching), (X,), "if or while in the top Cell depends on a tensor's value"),
    "while": (Apply(cells.looping), (X,), "if or while in the top Cell depends on a tensor's value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_here_is_refused_with_the_fix(name: str) -> None:
    cell, inputs, reason = REFUSED[name]
    with pytest.raises(MindirError, match=reason) as caught:
        trace(cell, inputs, 1)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)
