"""The emulation of half precision against the references on float16 arrays, and what it says about overflows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs.passes.random_graphs import assert_same_bits, modules, random_inputs
from hypothesis import given, settings

from coopdraw.graphs import interpreter
from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.half_arithmetic import HalfArithmetic, Range
from coopdraw.graphs.ir import Module
from coopdraw.graphs.passes.half_precision import HalfPrecision
from coopdraw.graphs.precision_report import PrecisionReport, measure_precision, relative_error
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.weights import ArrayWeight


def decoder(scale: float, mask: float = 0.0) -> Module:
    """A VAE in small: the second convolution makes activations of 100 * `scale`, the norm behind it takes them back.

    `mask` is a constant that is added to the result of the norm.
    """
    builder = GraphBuilder("vae.decode")
    one = (1, 1, 1, 1)
    layer = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    x = builder.input("latent", TensorType(DType.FLOAT32, (1, 1, 2, 2)))
    for number, source in enumerate(("decoder.conv_in", "decoder.mid.block_1.conv2")):
        builder.source = source
        x = builder.add("conv2d", x, builder.weight(f"vae.{number}", TensorType(DType.FLOAT32, one)), **layer)
    builder.source = "decoder.norm_out"
    gamma, beta = (builder.weight(name, TensorType(DType.FLOAT32, (1,))) for name in ("gamma", "beta"))
    x = builder.add("group_norm", x, gamma, beta, groups=1, epsilon=1e-6)
    x = builder.add("add", x, builder.constant(np.full((1, 1, 2, 2), mask, np.float32)))
    builder.source = "decoder.conv_out"
    x = builder.add("conv2d", x, builder.weight("vae.0", TensorType(DType.FLOAT32, one)), **layer)
    function = builder.build([x], ["image"])
    entry = GraphBuilder("sampling")
    (image,) = entry.call(function, entry.input("latent", function.inputs[0].type))
    weights = {"vae.0": 10.0, "vae.1": 10.0 * scale}
    arrays = {name: ArrayWeight(np.full(one, number, np.float32)) for name, number in weights.items()}
    norm = {"gamma": ArrayWeight(np.ones(1, np.float32)), "beta": ArrayWeight(np.zeros(1, np.float32))}
    return Module(entry.build([image], ["image"]), {"vae.decode": function}, arrays | norm)


LATENT = np.array([1.0, -1.0, 0.5, 0.25], np.float32).reshape(1, 1, 2, 2)


def measure(module: Module, *keep: str, dtype: str = "float16") -> PrecisionReport:
    converted = HalfPrecision(keep, dtype).run(module).module
    return measure_precision(module, converted, {"latent": LATENT})


@settings(max_examples=60, deadline=None)
@given(module=modules())
def test_emulation_gives_the_bits_of_the_references(module: Module) -> None:
    converted, inputs = HalfPrecision().run(module).module, random_inputs(module)
    emulated = interpreter.run(converted, inputs, arithmetic=HalfArithmetic())
    assert_same_bits(emulated, interpreter.run(converted, inputs))


def test_overflow_is_named_where_it_begins() -> None:
    report = measure(decoder(1000.0))
    assert not np.isfinite(report.found["image"]).any()
    assert np.isfinite(report.wanted["image"]).all()
    (failure,) = report.failures
    assert failure.node == "%conv2d_2 (conv2d, Cell decoder.mid.block_1.conv2)"
    assert (failure.graph, failure.cell) == ("vae.decode", "decoder.mid.block_1.conv2")
    assert (failure.largest, failure.weight, failure.called) == (1e5, None, None)
    _, graph = report.graphs
    assert graph.range.infinite == 2
    assert graph.range.headroom(DType.FLOAT16) == pytest.approx(np.log2(65504 / 1e5))
    assert graph.errors == (np.inf,)


@pytest.mark.parametrize("keep", ["vae", "vae.decode", "vae/decoder"])
def test_what_is_kept_does_not_overflow(keep: str) -> None:
    report = measure(decoder(1000.0), keep)
    assert not report.failures
    # All nodes of this decoder are in the Cell, so that nothing is left to round.
    np.testing.assert_array_equal(report.found["image"], report.wanted["image"])


def test_a_kept_cell_hands_its_overflow_on() -> None:
    """The convolution's own result is float32 then, and so is what reads it: a norm. Nothing rounds it."""
    report = measure(decoder(1000.0), "vae/decoder.mid.block_1.conv2")
    assert not report.failures
    assert 0.0 < report.graphs[1].errors[0] < 2.0**-10  # two roundings of 2^-11: the norm's result and the last one


def test_bfloat16_does_not_overflow() -> None:
    assert not measure(decoder(1000.0), dtype="bfloat16").failures


def test_weight_that_overflows_is_named() -> None:
    (failure,) = measure(decoder(7000.0)).failures
    assert failure.weight == "vae.1"
    assert failure.node == "%conv2d_2 (conv2d, Cell decoder.mid.block_1.conv2)"


def test_argument_that_overflows_names_the_function() -> None:
    module = decoder(1.0)
    entry = GraphBuilder("sampling")
    entry.source = "decode"
    latent = entry.input("latent", TensorType(DType.FLOAT32, (1, 1, 2, 2)))
    large = entry.add("mul", latent, entry.constant(np.float32(1e5)))
    (image,) = entry.call(module.functions["vae.decode"], large)
    report = measure(Module(entry.build([image], ["image"]), module.functions, module.weights))
    (failure,) = report.failures
    assert (failure.graph, failure.called) == ("sampling", "vae.decode")
    assert failure.node == "%mul_float16 (cast, Cell decode)"


def test_infinite_masks_are_no_failure() -> None:
    """-inf is a number that float16 has; behind the addition everything is -inf in float32, too."""
    report = measure(decoder(1.0, mask=-np.inf))
    assert not report.failures
    np.testing.assert_array_equal(report.found["image"], report.wanted["image"])


def test_ranges_count_what_is_rounded() -> None:
    small = np.float32(2.0**-17)
    module = decoder(1.0)
    converted = HalfPrecision().run(module).module
    feeds = {"latent": np.array([1.0, 0.0, small, -small], np.float32).reshape(1, 1, 2, 2)}
    arithmetic = HalfArithmetic()
    interpreter.run(converted, feeds, arithmetic=arithmetic)
    entry, decode = arithmetic.ranges["sampling"], arithmetic.ranges["vae.decode"]
    assert (entry.elements, entry.small, entry.largest) == (4, 2, 1.0)
    assert entry.node == "%latent_float16 (cast, no Cell)"
    assert entry.small_share == 0.5
    # 10 * 2^-17 is normal, as is all that follows: two convolutions, a cast behind the norm, the last convolution.
    assert (decode.elements, decode.small, decode.infinite, decode.invalid) == (16, 0, 0, 0)
    assert (decode.largest, decode.node) == (100.0, "%conv2d_2 (conv2d, Cell decoder.mid.block_1.conv2)")


def test_headroom_of_nothing_is_infinite() -> None:
    assert Range().headroom(DType.FLOAT16) == np.inf
    assert Range().small_share == 0.0
    assert Range(largest=32752.0).headroom(DType.FLOAT16) == 1.0


def test_relative_error() -> None:
    ones = np.ones(4, np.float32)
    assert relative_error(ones * 1.5, ones) == 0.5
    assert relative_error(ones * np.float32(np.nan), ones) == np.inf
    assert relative_error(ones, ones * 0) == 1.0


def test_every_call_has_its_error_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    module = decoder(1.0)
    entry = GraphBuilder("sampling")
    value = entry.input("latent", TensorType(DType.FLOAT32, (1, 1, 2, 2)))
    for _ in range(3):
        (value,) = entry.call(module.functions["vae.decode"], value)
    repeated = Module(entry.build([value], ["image"]), module.functions, module.weights)
    steps: list[tuple[int, int]] = []
    converted = HalfPrecision().run(repeated).module
    report = measure_precision(repeated, converted, {"latent": LATENT}, lambda *step: steps.append(step))
    assert steps == [(done, 6) for done in range(1, 7)]
    entry_graph, decode = report.graphs
    assert len(decode.errors) == 3
    assert decode.errors[-1] == pytest.approx(entry_graph.errors[0])
    assert not list(tmp_path.iterdir())
