"""What the lint finds before a conversion: one case for every rule, and none where there is nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Module, Value
from coopdraw.graphs.types import DType, TensorType
from coopdraw.kernels.ascend.lint import Finding, lint
from coopdraw.kernels.ascend.lint_rules import RULES
from coopdraw.kernels.simulator.soc import SOCS

B910, P310 = SOCS["ascend910b"], SOCS["ascend310p"]
CONV: dict[str, Attribute] = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}


def findings(operator: str, types: list[str], soc: str = "ascend910b", **attributes: Attribute) -> tuple[Finding, ...]:
    """Of a module whose one node, in Cell `net.0`, has operands of these types (`float16 1x4x8x8`)."""
    builder = GraphBuilder("entry")
    values = [builder.input(f"x{index}", tensor_type(text)) for index, text in enumerate(types)]
    builder.source = "net.0"
    return lint(Module(builder.build(builder.add_many(operator, *values, **attributes))), SOCS[soc])


def tensor_type(text: str) -> TensorType:
    dtype, _, shape = text.partition(" ")
    return TensorType(DType(dtype), tuple(int(extent) for extent in shape.split("x") if extent))


def conv(
    x: str = "float16 1x4x32x32", weight: str = "float16 8x4x3x3", soc: str = "ascend910b", **changed: Attribute
) -> tuple[Finding, ...]:
    return findings("conv2d", [x, weight], soc, **{**CONV, **changed})


def one(found: tuple[Finding, ...], severity: str, part: str) -> Finding:
    assert [finding.severity for finding in found] == [severity], found
    assert part in found[0].reason
    assert found[0].cell == "net.0"
    assert "Cell net.0" in found[0].node
    assert found[0].fix
    return found[0]


@pytest.mark.parametrize("soc", SOCS)
def test_nothing_is_found_where_nothing_is_wrong(soc: str) -> None:
    assert conv(soc=soc) == ()
    assert findings("add", ["float16 1x4x8x8"] * 2, soc) == ()
    assert findings("matmul", ["float16 2x3x8x8"] * 2, soc, transpose_a=False, transpose_b=True) == ()
    assert findings("gather", ["float16 49x8", "int64 77"], soc, axis=0) == ()
    assert findings("resize", ["float16 1x4x8x8"], soc, size=(16, 16), mode="nearest", coordinates="asymmetric") == ()
    assert findings("attention", ["float16 1x64x128"] * 3, soc, heads=2, scale=0.125, layout="BSH") == ()
    assert findings("geglu", ["float16 1x64x128", "float16 128"], soc, approximate="tanh", gate="second") == ()


def test_bfloat16_on_the_310p() -> None:
    one(findings("relu", ["bfloat16 4x4"], "ascend310p"), "error", "has no bfloat16")
    assert findings("relu", ["bfloat16 4x4"]) == ()


def test_float64_runs_on_the_ai_cpu_or_not_at_all() -> None:
    found = one(findings("add", ["float64 4", "float64 4"]), "warning", "add of float64 runs on the slow AI CPU")
    assert found.page == "ops-math:math/add/op_api/add.cpp"
    one(conv("float64 1x4x8x8", "float64 8x4x3x3"), "error", "conv2d has no form for float64")
    one(findings("silu", ["float64 4"]), "error", "silu has no form")


def test_integers_that_ai_cores_do_not_take() -> None:
    one(findings("abs", ["int64 4"], "ascend310p"), "warning", "AI CPU")
    assert findings("abs", ["int64 4"]) == ()
    one(findings("split", ["int32 4"], axis=0, sizes=(2, 2)), "warning", "split of int32")


def test_float32_products_of_the_310p() -> None:
    one(conv("float32 1x4x8x8", "float32 8x4x3x3", "ascend310p"), "warning", "in float16, and enforce_origin refuses")
    found = findings("matmul", ["float32 8x8"] * 2, "ascend310p", transpose_a=False, transpose_b=False)
    one(found, "warning", "float32 matmul")
    assert conv("float32 1x4x8x8", "float32 8x4x3x3") == ()


@pytest.mark.parametrize(
    ("part", "arguments"),
    [
        ("stride is 64", {"stride": (64, 1)}),
        ("dilation is 256", {"dilation": (1, 256), "padding": (0, 0, 255, 255)}),
        ("padding is 256", {"padding": (0, 256, 0, 0)}),
        ("width is 5000", {"x": "float16 1x4x8x5000"}),
        ("kernel is 512", {"x": "float16 1x4x8x1024", "weight": "float16 8x4x1x512", "padding": (0, 0, 0, 0)}),
    ],
)
def test_ranges_of_a_convolution(part: str, arguments: dict[str, str | tuple[int, ...]]) -> None:
    one(conv(**arguments), "error", part)  # type: ignore[arg-type]


def test_tighter_ranges_of_the_310p() -> None:
    tall = "float16 1x4x5000x8"
    one(conv(tall, soc="ascend310p"), "error", "height is 5000, but ascend310p takes 1 to 4096")
    assert conv(tall) == ()


def test_pooling() -> None:
    one(findings("avg_pool2d", ["float16 1x4x64x64"], kernel=(16, 16), stride=(16, 16)), "error", "less than 256")
    assert findings("avg_pool2d", ["float16 1x4x64x64"], kernel=(2, 2), stride=(2, 2)) == ()


def test_axes() -> None:
    nine = "float16 " + "x".join("1" * 9)
    one(findings("relu", [nine]), "error", "up to 8 axes")
    seven = "float16 1x1x1x1x1x4x4"
    one(findings("matmul", [seven, seven], transpose_a=False, transpose_b=False), "error", "up to 6 axes")


def test_resizing() -> None:
    x = ["float16 1x4x8x8"]
    one(findings("resize", x, size=(16, 16), mode="bicubic", coordinates="asymmetric"), "error", "into half_pixel")
    long = ["float16 1x1x1x1048577"]
    one(findings("resize", long, size=(1, 8), mode="nearest", coordinates="asymmetric"), "error", "up to 1048576")
    empty = ["float16 0x4x8x8"]
    one(
        findings("resize", empty, size=(16, 16), mode="bilinear", coordinates="half_pixel"), "error", "no empty tensors"
    )


def test_angles_that_are_constants() -> None:
    for soc, largest, count in ((P310, 70000.0, 1), (B910, 70000.0, 0), (B910, 2e7, 1), (P310, 999.0, 0)):
        builder = GraphBuilder("entry")
        angle = builder.constant(np.array([1.0, -largest], np.float32))
        builder.source = "time_embed"
        found = lint(Module(builder.build([builder.add("sin", angle)])), soc)
        assert len(found) == count
        assert all("sin is exact up to" in finding.reason for finding in found)


@pytest.mark.parametrize(("heads", "scale", "dtype"), [(2, 0.125, "float32"), (8, 0.5, "float16")])
def test_attention_that_nothing_fuses(heads: int, scale: float, dtype: str) -> None:
    """float32 for both; heads 16 wide are ours whatever their scale, so that one is not found."""
    found = findings("attention", [f"{dtype} 1x64x128"] * 3, heads=heads, scale=scale, layout="BSH")
    if dtype == "float16":
        assert found == ()
    else:
        one(found, "warning", "attention becomes matmul, softmax, matmul")


@pytest.mark.parametrize(
    ("approximate", "gate", "severity"), [("none", "second", "warning"), ("tanh", "first", "error")]
)
def test_geglu_that_the_converter_computes_otherwise(approximate: str, gate: str, severity: str) -> None:
    types = ["float16 1x64x128", "float16 128"]
    one(findings("geglu", types, approximate=approximate, gate=gate), severity, "is what MindSpore Lite fuses, but")


@pytest.mark.parametrize(("bias", "count"), [("add", 1), ("linear", 0)])
def test_geglu_of_a_bias_before_it(bias: str, count: int) -> None:
    """A sum is what MindSpore Lite's fusion asks for; the bias of a linear layer is written as no Add."""
    builder = GraphBuilder("entry")
    x, weight = builder.input("x", tensor_type("float16 4x32")), builder.input("w", tensor_type("float16 64x32"))
    offset = builder.input("bias", tensor_type("float16 64"))
    hidden = builder.add("linear", x, weight, offset)
    if bias == "add":
        hidden = builder.add("add", builder.add("linear", x, weight), offset)
    gated = builder.add("geglu", hidden, approximate="none", gate="second")
    assert len(lint(Module(builder.build([gated])), B910)) == count


@pytest.mark.parametrize(
    ("product", "severity"),
    [("other", "error"), ("gelu none", "warning"), ("gelu tanh", None), ("turned gelu tanh", "error")],
)
def test_products_of_a_slice_of_a_sum(product: str, severity: str | None) -> None:
    """MindSpore Lite's GeGluV2 fusion asks for nothing more."""
    builder = GraphBuilder("entry")
    x = builder.input("x", TensorType(DType.FLOAT16, (4, 64)))
    bias = builder.input("bias", TensorType(DType.FLOAT16, (64,)))
    builder.source = "net.0"
    summed = builder.add("add", x, bias)

    def half(begin: int) -> Value:
        return builder.add("slice", summed, begin=(0, begin), end=(4, begin + 32), stride=(1, 1))

    value, gate = (half(32), half(0)) if "turned" in product else (half(0), half(32))
    other = builder.add("gelu", gate, approximate=product.split()[-1]) if "gelu" in product else gate
    found = lint(Module(builder.build([builder.add("mul", value, other)])), B910)
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_findings_name_function_and_node() -> None:
    body = GraphBuilder("unet")
    body.source = "input_blocks.1.0"
    x = body.input("x", TensorType(DType.FLOAT64, (4,)))
    function = body.build([body.add("exp", x, name="y")])
    entry = GraphBuilder("entry")
    module = Module(entry.build([entry.input("z", TensorType(DType.FLOAT32, (1,)))]), {"unet": function})
    (finding,) = lint(module, B910)
    assert finding.function == "unet"
    assert str(finding).startswith(
        "warning: unet: %y (exp, Cell input_blocks.1.0): exp of float64 runs on the slow AI CPU"
    )


def test_every_rule_names_a_public_page() -> None:
    for rule in RULES:
        text = " ".join((rule.__doc__ or "").split())
        assert re.search(r"(ops-(nn|math|cv|transformer)|mindspore-lite):\S+|_TYPES", text), rule.__name__
