"""The text form: a golden file, exact round trips, clear errors, and nothing but GraphError for broken text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs.strategies import arrays, modules
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.errors import GraphError, WeightError
from coopdraw.graphs.ir import Graph, Module
from coopdraw.graphs.text import format_graph, format_module, parse_module
from coopdraw.graphs.types import DType, TensorType
from coopdraw.graphs.verifier import verify
from coopdraw.graphs.weights import ArrayWeight

GOLDEN = Path(__file__).parent / "golden" / "module.txt"
IMAGE = TensorType(DType.FLOAT32, (1, 4, 4, 4))


def example_module() -> Module:
    """One of each thing that the text form can say."""
    block = GraphBuilder("unet.block")
    x = block.input("x", IMAGE)
    weight = block.weight("unet.conv.weight", TensorType(DType.FLOAT32, (4, 4, 1, 1)))
    block.source = "input_blocks.0.0"
    conv = block.add("conv2d", x, weight, name="conv", stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), groups=1)
    function = block.build([block.add("clamp", conv, minimum=-1.0, maximum=None)], ["hidden"])
    entry = GraphBuilder("sampling")
    noise = entry.input("noise", IMAGE)
    context = entry.input("context.odd style", TensorType(DType.BFLOAT16, ()))
    half = entry.constant(np.array(0.1, np.float32), "half")
    special = entry.constant(np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45], np.float32), "special")
    steps = entry.constant(np.arange(20, dtype=np.int32).reshape(4, 5), "steps")
    (hidden,) = entry.call(function, entry.add("mul", noise, half))
    entry.source = "odd path"
    parts = entry.add_many("split", hidden, names=["a", "b"], axis=1, sizes=(1, 3))
    graph = entry.build([*parts, context, special, steps], ["image", "b", "the context", "special", "steps"])
    return Module(graph, {"unet.block": function}, {"unet.conv.weight": ArrayWeight(np.ones((4, 4, 1, 1), np.float32))})


def same(a: Module, b: Module) -> None:
    """Same structure; every value, attribute and weight is equal bit by bit."""
    assert set(a.weights) == set(b.weights)
    for first, second in zip(a.graphs(), b.graphs(), strict=True):
        same_graph(first, second)


def same_graph(a: Graph, b: Graph) -> None:
    assert (a.name, a.output_names) == (b.name, b.output_names)
    assert [(value.name, value.type) for value in a.values] == [(value.name, value.type) for value in b.values]
    assert [value.name for value in a.outputs] == [value.name for value in b.outputs]
    for first, second in zip(a.nodes, b.nodes, strict=True):
        assert (first.operator, first.source, set(first.attributes)) == (
            second.operator,
            second.source,
            set(second.attributes),
        )
        assert [value.name for value in first.inputs] == [value.name for value in second.inputs]
        for key, value in first.attributes.items():
            other = second.attributes[key]
            assert type(value) is type(other)
            if isinstance(value, np.ndarray) and isinstance(other, np.ndarray):
                assert (value.dtype, value.shape, value.tobytes()) == (other.dtype, other.shape, other.tobytes())
            else:
                assert repr(value) == repr(other)  # nan equals nan, -0.0 doesn't equal 0.0


def test_golden() -> None:
    assert format_module(example_module()) == GOLDEN.read_text(encoding="utf-8")


def test_golden_parses_to_the_module() -> None:
    module = example_module()
    same(parse_module(GOLDEN.read_text(encoding="utf-8"), module.weights), module)


@given(modules())
def test_round_trip(module: Module) -> None:
    text = format_module(module)
    again = parse_module(text, module.weights)
    same(again, module)
    assert format_module(again) == text
    assert again.weights == module.weights


@settings(max_examples=300)
@given(arrays())
def test_arrays_are_exact(array: np.ndarray) -> None:
    builder = GraphBuilder("main")
    module = Module(builder.build([builder.constant(array)]))
    same(parse_module(format_module(module)), module)


def test_format_graph_is_the_function() -> None:
    module = example_module()
    assert format_graph(module.functions["unet.block"]) in format_module(module)


def test_short_numbers_stay_short() -> None:
    builder = GraphBuilder("main")
    values = [builder.constant(np.array(0.1, dtype.numpy)) for dtype in DType if dtype.is_floating]
    text = format_module(Module(builder.build(values)))
    for literal in ("float16[](0.1)", "float32[](0.1)", "float64[](0.1)"):
        assert literal in text


def test_elided_constants() -> None:
    text = format_module(example_module(), elide=16)
    assert 'int32[4, 5](elided "' in text
    assert "float32[](0.1)" in text
    with pytest.raises(GraphError, match=r"line \d+, column \d+: this constant is elided; print the module again"):
        parse_module(text)


def test_declared_weights_can_not_be_read() -> None:
    weight = parse_module(GOLDEN.read_text(encoding="utf-8")).weights["unet.conv.weight"]
    assert weight.type == TensorType(DType.FLOAT32, (4, 4, 1, 1))
    with pytest.raises(WeightError, match="give them to parse_module"):
        weight.read()


def test_given_weights_must_fit() -> None:
    text = GOLDEN.read_text(encoding="utf-8")
    with pytest.raises(GraphError, match=r"line 1, column 8: weight unet.conv.weight isn't among the given weights"):
        parse_module(text, {})
    with pytest.raises(GraphError, match=r"is float32\[1\], but is declared float32\[4, 4, 1, 1\]"):
        parse_module(text, {"unet.conv.weight": ArrayWeight(np.ones(1, np.float32))})


def body(line: str) -> str:
    return f"entry main(%x: float32[2]) {{\n  {line}\n  return y = %x\n}}\n"


def constant(literal: str) -> str:
    return body(f"%c: float32[2] = constant() {{value = {literal}}}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: found the end of the text; write weight or entry here"),
        ("entry main", "line 1, column 11: found the end of the text; write ( here"),
        ("entry main() {}", "line 1, column 15: found }; write a node or return here"),
        ("# comment\nentry ?", "line 2, column 7: '?' starts no token"),
        (body("%y: float32[2] = neg(%z)"), "line 2, column 24: %z isn't defined before"),
        (body("%y: float32[2] = neg(%y)"), "line 2, column 24: %y isn't defined before"),
        (body("%x: float32[2] = neg(%x)"), "line 2, column 3: %x is defined twice"),
        (body("%y: float99[2] = neg(%x)"), "line 2, column 7: float99 is not an element type; use one of float16"),
        (body("%y: float32[0] = neg(%x)"), "line 2, column 15: extent 0 isn't static"),
        (body("%y: float32[2.0] = neg(%x)"), "line 2, column 15: extent 2.0 isn't static"),
        (body("%y: float32[2] = neg(%x) {a = 1, a = 2}"), "line 2, column 36: attribute a is given twice"),
        (body("%y: float32[2] = neg(%x) {a = [1, 2.0]}"), "line 2, column 33: a list mixes integers and floats"),
        (body("%y: float32[2] = neg(%x) {a = }"), "line 2, column 33: found }; write a number here"),
        (body('%y: float32[2] = neg(%x) @"\\q"'), r"is not a JSON string; fix its escapes"),
        (body("%y: float32[2] = neg(%x) {a = " + "1" * 5000 + "}"), "a number has more than 400 digits"),
        (body("%y: float32[2] = neg(%x) extra"), "line 2, column 28: found extra; write a node or return here"),
        (constant("float32[2](1.0)"), "line 2, column 40: float32[2] has 2 elements, not 1; fix"),
        (constant("float32[2](true, false)"), "true is not an element of float32; fix"),
        (constant("int8[1](128)"), "128 is outside the range of int8"),
        (constant("int8[1](1.5)"), "1.5 is not an element of int8; fix"),
        (constant("bool[1](1)"), "1 is not true or false"),
        (constant('float32[2](base64 "AAAA")'), "float32[2] has 8 bytes, not 3"),
        (constant('float32[2](base64 "A*AA")'), "fix the elements"),
        (constant('bool[1](base64 "Ag==")'), "a bool is a byte of 0 or 1"),
        ('weight "w": int8[1]\nweight "w": int8[1]\n', "line 2, column 8: weight w is declared twice"),
        ("entry f() {%a: int8[1] = constant() {value = int8[1](1)} return a = %a}" * 2, "write function or the end"),
        (body("%y: float32[3] = neg(%x)"), "%y is declared float32[3], but is float32[2]"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse_module(text)
    assert message in str(caught.value)


def test_functions_are_defined_once() -> None:
    function = "function f(%x: int8[1]) {\n  return x = %x\n}\n"
    with pytest.raises(GraphError, match="line 7, column 10: function f is defined twice"):
        parse_module(function.replace("function f", "entry main") + function + function)


TOKENS = [
    "%x",
    "[",
    "]",
    "(",
    "{",
    "}",
    "=",
    ",",
    ":",
    "-1",
    "1e999",
    "nan",
    '"',
    "\\",
    "#",
    "@",
    "9" * 500,
    "float32",
    "0",
]


@settings(max_examples=200)
@given(
    module=st.just(None) | modules(),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from([*TOKENS, ""]) | st.text(max_size=2)), max_size=3
    ),
)
@example(None, [(0.0, 0, "\ufeff")])
def test_broken_text_gives_graph_error_or_a_valid_module(
    module: Module | None, edits: list[tuple[float, int, str]]
) -> None:
    text = format_module(module or example_module())
    for place, removed, inserted in edits:
        start = int(place * len(text))
        text = text[:start] + inserted + text[start + removed :]
    try:
        parsed = parse_module(text)
    except GraphError:
        return
    verify(parsed)
    same(parse_module(format_module(parsed)), parsed)
