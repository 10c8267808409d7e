"""Every operator, written in every form and run by ONNX Runtime, gives what the references give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs.mindir.operator_cases import OperatorCase, normal, operator_cases, simple
from graphs.onnx.running import operators_of, run, written
from onnx.reference import ReferenceEvaluator

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Module
from coopdraw.graphs.onnx.form import ONNXRUNTIME, PORTABLE, OnnxForm, lite_form
from coopdraw.graphs.ops import operator_names
from coopdraw.graphs.types import DType, TensorType

# float32 kernels that sum in another order: a few units in the last place of values around 1.
RELATIVE, ABSOLUTE = 2e-5, 2e-5
# Rounded once, at the end, but from float32 sums in another order: the neighbouring float16.
HALF = 2e-3
FORMS = {"portable": PORTABLE, "onnxruntime": ONNXRUNTIME, "lite": lite_form()}

BSH = {"heads": 2, "scale": 0.5, "layout": "BSH"}
ONE_SCALAR = np.array(1.5, np.float32)


def further_cases() -> list[OperatorCase]:
    """What ONNX has special rules for: scalars, masks of every rank, matrices with one transpose, repeated pixels."""
    query, key = normal(2, 3, 8), normal(2, 5, 8)
    masks = [normal(5), normal(3, 5), normal(1, 3, 5), normal(2, 1, 3, 1), normal(1, 2, 1, 5)]
    image = normal(1, 2, 4, 6)
    return [
        *[simple("attention", query, key, key, mask, **BSH) for mask in masks],
        simple("attention", query, key, normal(2, 5, 4), **BSH),
        simple("attention", *(normal(2, 1, 5, 4) for _ in range(3)), heads=1, scale=0.5, layout="BNSD"),
        simple(
            "attention", *(normal(2, 1, 5, 4) for _ in range(3)), normal(2, 1, 5, 5), heads=1, scale=1.0, layout="BNSD"
        ),
        *[simple(f"reduce_{name}", normal(2, 3), axes=(0, 1), keepdims=True) for name in ("sum", "mean", "max", "min")],
        simple("matmul", normal(3, 4), normal(5, 4), transpose_a=False, transpose_b=True),
        simple("matmul", normal(2, 4, 3), normal(2, 4, 5), transpose_a=True, transpose_b=False),
        simple("group_norm", normal(2, 6), normal(6), normal(6), groups=3, epsilon=1e-5),
        simple("group_norm", normal(2, 6, 4), normal(6), normal(6), groups=2, epsilon=1e-5),
        simple("resize", image, size=(4, 6), mode="bilinear", coordinates="half_pixel"),
        simple("resize", image, size=(8, 6), mode="nearest", coordinates="half_pixel"),
        simple("resize", image, size=(12, 18), mode="nearest", coordinates="align_corners"),
        simple("resize", image, size=(1, 1), mode="bilinear", coordinates="align_corners"),
        simple("resize", image, size=(3, 12), mode="area", coordinates="half_pixel"),
        simple("clamp", image, minimum=None, maximum=None),
        simple("slice", image, begin=(0, 0, 0, 0), end=image.shape, stride=(1, 1, 1, 1)),
        simple("pad", ONE_SCALAR, before=(), after=(), value=0.0),
        simple("tile", ONE_SCALAR, repeats=()),
        simple("transpose", ONE_SCALAR, permutation=()),
        simple("slice", ONE_SCALAR, begin=(), end=(), stride=()),
        simple("broadcast_to", ONE_SCALAR, shape=(2, 3)),
        simple("add", np.arange(4, dtype=np.int64), np.arange(4, dtype=np.int64)),
        simple("equal", np.array([True, False]), np.array([True, True])),
    ]


CASES = [*operator_cases(), *further_cases()]


def check(case: OperatorCase, folder: Path, form: OnnxForm, relative: float, absolute: float) -> Path:
    module, feeds = case.module(), case.feeds()
    wanted = interpreter.run(module, feeds)
    path = written(module, folder, form)
    found = run(path, feeds)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_allclose(
            found[name].astype(np.float64), array.astype(np.float64), rtol=relative, atol=absolute
        )
    return path


def test_every_operator_has_a_case() -> None:
    assert {case.operator for case in CASES} | {"call", "weight"} == set(operator_names())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_operator(case: OperatorCase, form: str, tmp_path: Path) -> None:
    check(case, tmp_path, FORMS[form], RELATIVE, ABSOLUTE)


def in_half(case: OperatorCase) -> OperatorCase:
    arrays = tuple(array.astype(np.float16) if array.dtype == np.float32 else array for array in case.inputs)
    return OperatorCase(case.name, case.operator, arrays, case.build)


HALF_OPERATORS = {
    "attention",
    "bias_activation",
    "conv2d",
    "fused_group_norm",
    "fused_layer_norm",
    "geglu",
    "gelu",
    "group_norm",
    "layer_norm",
    "linear",
    "linear_combination",
    "matmul",
    "reduce_mean",
    "silu",
    "softmax",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.operator in HALF_OPERATORS], ids=lambda case: case.name
)
def test_operator_in_half_precision(case: OperatorCase, form: str, tmp_path: Path) -> None:
    # Some operators round between their parts; the largest numbers here are sums of 72 products, about 30.
    check(in_half(case), tmp_path, FORMS[form], HALF, 20 * HALF)


def test_no_form_but_ONNX_Runtimes_has_its_operators(tmp_path: Path) -> None:  # noqa: N802
    case = simple("attention", normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8), **BSH)
    for name, form in FORMS.items():
        model = onnx.load(str(check(case, tmp_path, form, RELATIVE, ABSOLUTE)))
        assert ("MultiHeadAttention" in operators_of(model)) == (name == "onnxruntime")
        assert bool(model.functions) == (name != "lite")
        assert {item.domain for item in model.opset_import} <= {"", "com.microsoft", "coopdraw", "coopdraw.program"}


@pytest.mark.parametrize("masked", [False, True])
def test_ONNX_Runtime_uses_its_kernel_and_others_the_parts(masked: bool, tmp_path: Path) -> None:  # noqa: N802
    masks = (normal(3, 5),) if masked else ()
    case = simple("attention", normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8), *masks, **BSH)
    path = check(case, tmp_path, ONNXRUNTIME, RELATIVE, ABSOLUTE)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(str(tmp_path / "optimised.onnx"))
    assert "MultiHeadAttention" in operators_of(optimised)
    assert not optimised.functions
    (wanted,) = interpreter.run(case.module(), case.feeds()).values()
    (found,) = ReferenceEvaluator(str(path)).run(None, case.feeds())
    np.testing.assert_allclose(found, wanted, rtol=RELATIVE, atol=ABSOLUTE)


def test_lite_gets_no_layer_normalization(tmp_path: Path) -> None:
    case = simple("layer_norm", normal(2, 3, 4), normal(4), normal(4), epsilon=1e-3)
    operators = operators_of(onnx.load(str(check(case, tmp_path, lite_form(), RELATIVE, ABSOLUTE))))
    assert "LayerNormalization" not in operators


def test_the_same_fused_operator_is_one_function(tmp_path: Path) -> None:
    builder = GraphBuilder("main")
    value = builder.input("x", TensorType(DType.FLOAT32, (2, 8)))
    for approximate in ("none", "none", "tanh", "none"):
        half = builder.add("geglu", value, approximate=approximate, gate="second")
        value = builder.add("concat", half, half, axis=1)
    model = onnx.load(str(written(Module(builder.build([value], ["y"])), tmp_path, PORTABLE)))
    assert [function.name for function in model.functions] == ["geglu_1", "geglu_2"]
