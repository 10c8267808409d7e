"""Convolution against its reference in float64: any kernel, shapes that fill no tile, calls that don't fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernels.calling import STATUS, Library, make_node, reference

from coopdraw.graphs.ir import Attribute
from coopdraw.kernels.cpu.selection import cpu_kernel, cpu_refusal

Libraries = Callable[[str, int], Library]


@dataclass(frozen=True)
class Case:
    x: tuple[int, int, int, int]
    out_channels: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilation: tuple[int, int] = (1, 1)
    bias: bool = True

    @property
    def attributes(self) -> dict[str, Attribute]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": 1}

    def operands(self, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        shapes = [self.x, (self.out_channels, self.x[1], *self.kernel), *([(self.out_channels,)] if self.bias else [])]
        return [generator.standard_normal(shape, np.float32) for shape in shapes]

    def fits(self) -> bool:
        spans = [step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel, strict=True)]
        return spans[0] <= self.x[2] + sum(self.padding[:2]) and spans[1] <= self.x[3] + sum(self.padding[2:])


def check(library: Library, case: Case, inputs: list[np.ndarray]) -> np.ndarray:
    """Errors are relative to the largest sum of magnitudes: Winograd's form shares roundings between outputs."""
    (got,) = library.run("conv2d", inputs, **case.attributes)
    (want,) = reference("conv2d", inputs, **case.attributes)
    (largest,) = reference("conv2d", [np.abs(array) for array in inputs], **case.attributes)
    # Some roundings of 6e-8, which Winograd's transforms multiply: 0.7e-6 at most in 300 random convolutions.
    assert np.abs(got - want).max() <= 2e-6 * largest.max()
    return got


@settings(max_examples=150)
@given(data=st.data())
def test_any_convolution(library: Library, data: st.DataObject) -> None:
    def pair(least: int, most: int) -> tuple[int, int]:
        return data.draw(st.integers(least, most)), data.draw(st.integers(least, most))

    case = Case(
        (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 70)), *pair(1, 40)),
        data.draw(st.integers(1, 40)),
        pair(1, 5),
        pair(1, 4),
        (*pair(0, 3), *pair(0, 3)),
        pair(1, 3),
        data.draw(st.booleans()),
    )
    assume(case.fits())
    check(library, case, case.operands(data.draw(st.integers(0, 99))))


@settings(max_examples=80)
@given(data=st.data())
def test_any_image_under_3x3_kernels(library: Library, data: st.DataObject) -> None:
    """Mostly Winograd's form: sizes that are no multiple of its tiles, paddings from none to more than the kernel."""
    numbers = st.integers
    x = (data.draw(numbers(1, 3)), data.draw(numbers(4, 80)), data.draw(numbers(3, 40)), data.draw(numbers(3, 70)))
    padding = tuple(data.draw(numbers(0, 4)) for _ in range(4))
    case = Case(x, data.draw(numbers(16, 40)), padding=padding, bias=data.draw(st.booleans()))  # type: ignore[arg-type]
    check(library, case, case.operands(data.draw(numbers(0, 99))))


LAYERS = {
    "3x3": Case((2, 64, 16, 16), 64),
    "3x3 at 8x8": Case((2, 128, 8, 8), 128),
    "3x3, many channels": Case((1, 640, 16, 16), 320),
    "3x3, wide": Case((1, 32, 8, 530), 32),
    "downsampling": Case((2, 64, 32, 32), 64, stride=(2, 2)),
    "downsampling, padded at the end": Case((1, 32, 64, 64), 32, stride=(2, 2), padding=(0, 1, 0, 1)),
    "1x1": Case((2, 192, 32, 32), 64, (1, 1), padding=(0, 0, 0, 0)),
    "first": Case((2, 4, 64, 64), 128),
    "last": Case((1, 64, 64, 64), 3),
    "patches": Case((1, 3, 64, 64), 96, (16, 16), (16, 16), (0, 0, 0, 0)),
    "one value": Case((1, 300, 1, 1), 20, (1, 1), padding=(0, 0, 0, 0)),
    "far apart": Case((1, 9, 50, 50), 8, dilation=(20, 23)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_diffusion_models(libraries: Libraries, name: str) -> None:
    """Each level, and threads don't change a bit."""
    case = LAYERS[name]
    inputs = case.operands()
    for level in ("baseline", "avx2", "avx512"):
        one, two = (check(libraries(level, threads), case, inputs) for threads in (1, 2))
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("channels", [64, 320, 1280])
def test_error_of_winograds_form(library: Library, channels: int) -> None:
    case = Case((2, channels, 12, 16), 32)
    inputs = case.operands()
    (got,) = library.run("conv2d", inputs, **case.attributes)
    (want,) = reference("conv2d", inputs, **case.attributes)
    # 0.6e-6 to 1.1e-6 of the output's range on normal numbers; a direct sum in float32 has 0.3e-6.
    assert np.abs(got - want).max() <= 2e-6 * np.ptp(want)


def test_nan_reaches_what_a_direct_sum_would_make_nan(library: Library) -> None:
    """In Winograd's form also the rest of their 4x4 tiles, and nothing beyond."""
    case = Case((1, 16, 24, 24), 16)
    inputs = case.operands()
    inputs[0][0, 5, 9, 10] = np.nan
    (got,) = library.run("conv2d", inputs, **case.attributes)
    found = np.isnan(got[0]).any(axis=0)
    assert np.isnan(got[0, :, 8:11, 9:12]).all()
    assert not found[:8].any()
    assert not found[12:].any()
    assert not found[:, :8].any()
    assert not found[:, 12:].any()


def test_groups_are_refused_with_the_reason() -> None:
    inputs = [np.zeros((1, 4, 5, 5), np.float32), np.zeros((4, 2, 3, 3), np.float32)]
    node = make_node("conv2d", inputs, {**Case((1, 4, 5, 5), 4).attributes, "groups": 2})
    assert cpu_kernel(node) is None
    assert cpu_refusal(node) == "the CPU kernel coopdraw_conv2d has one group, not 2"


RIGHT = ([(2, 3, 8, 9), (5, 3, 3, 3), (5,)], [1, 1, 1, 1, 1, 1, 1, 1], (2, 5, 8, 9))
"""Shapes of inputs, attributes, shape of the output."""


def status(libraries: Libraries, shapes: list[tuple[int, ...]], attributes: list[float], out: tuple[int, ...]) -> int:
    result = np.full(out, 7.0, np.float32)
    arrays = [*(np.ones(shape, np.float32) for shape in shapes), np.array(attributes, np.float64), result]
    found = libraries("avx512", 2).call("coopdraw_conv2d", arrays)
    if found != STATUS["ok"]:
        np.testing.assert_array_equal(result, 7.0)
    return found


def test_calls_that_fit(libraries: Libraries) -> None:
    shapes, attributes, out = RIGHT
    assert status(libraries, shapes, attributes, out) == STATUS["ok"]
    assert status(libraries, shapes[:2], attributes, out) == STATUS["ok"]
    assert status(libraries, [(0, *shapes[0][1:]), *shapes[1:]], attributes, (0, *out[1:])) == STATUS["ok"]


@pytest.mark.parametrize("index", range(4))
def test_any_other_shape_is_refused(libraries: Libraries, index: int) -> None:
    shapes, attributes, out = RIGHT
    right = [*shapes, out][index]
    longer = [tuple(n + (i == axis) for i, n in enumerate(right)) for axis in range(len(right))]
    for other in (*longer, (*right, 1), right[1:], ()):
        changed = [*shapes, out]
        changed[index] = other
        assert status(libraries, changed[:3], attributes, changed[3]) == STATUS["shape"], other
    changed = [*shapes, out]
    changed[1] = (5, 3, 0, 3)
    assert status(libraries, changed[:3], attributes, out) == STATUS["shape"]


@pytest.mark.parametrize("index", range(8))
def test_attributes_outside_their_range_are_refused(libraries: Libraries, index: int) -> None:
    shapes, attributes, out = RIGHT
    for value in (-1.0, 0.5, 1e300, np.nan, np.inf):
        changed = [*attributes]
        changed[index] = value
        assert status(libraries, shapes, changed, out) == STATUS["attribute"]
    assert status(libraries, shapes, attributes[:-1], out) == STATUS["attribute"]
    further = [*attributes]
    further[index] += 1  # a size that the output hasn't got
    assert status(libraries, shapes, further, out) == STATUS["shape"]


def test_a_missing_or_further_tensor_is_refused(libraries: Libraries) -> None:
    shapes, attributes, out = RIGHT
    assert status(libraries, shapes[:1], attributes, out) == STATUS["count"]
    assert status(libraries, [*shapes, (5,)], attributes, out) == STATUS["count"]
