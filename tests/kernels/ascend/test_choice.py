"""Who computes a node on the device, and the estimates behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernels.ascend.nodes import group_norm_inputs, group_norm_node, normal
from kernels.calling import make_node

from coopdraw.graphs.builder import GraphBuilder
from coopdraw.graphs.ir import Attribute, Module, Node
from coopdraw.graphs.types import DType, TensorType
from coopdraw.kernels.ascend.built_in import plain_works
from coopdraw.kernels.ascend.catalogue import ASCEND_KERNELS, BY_OPERATOR
from coopdraw.kernels.ascend.choice import choices, choose, summary
from coopdraw.kernels.ascend.own_work import own_work
from coopdraw.kernels.ascend.simulation import simulate_node
from coopdraw.kernels.ascend.work import Work, even_share, seconds
from coopdraw.kernels.simulator.soc import SOCS

B910, P310 = SOCS["ascend910b"], SOCS["ascend310p"]


def attention_inputs(queries: int, keys: int, heads: int, width: int, layout: str = "BSH") -> list[np.ndarray]:
    random = np.random.default_rng(0)
    shapes = [
        (1, length, heads * width) if layout == "BSH" else (1, heads, length, width) for length in (queries, keys, keys)
    ]
    return [normal(random, shape, "float16") for shape in shapes]


def attention_node(inputs: list[np.ndarray], heads: int, scale: float | None = None, layout: str = "BSH") -> Node:
    width = inputs[0].shape[-1] // (heads if layout == "BSH" else 1)
    attributes: dict[str, Attribute] = {"heads": heads, "scale": scale or width**-0.5, "layout": layout}
    return make_node("attention", inputs, attributes)


def combination(shape: tuple[int, ...], count: int = 3) -> tuple[Node, list[np.ndarray]]:
    random = np.random.default_rng(0)
    inputs = [normal(random, shape, "float16") for _ in range(count)]
    return make_node("linear_combination", inputs, {"weights": tuple(0.5 + i for i in range(count))}), inputs


def norm_cases() -> list[tuple[Node, list[np.ndarray]]]:
    cases = []
    for shape, options in (
        ((1, 320, 64, 64), {}),
        ((1, 320, 128, 128), {}),
        ((5, 64, 32, 32), {}),
        ((1, 320, 64, 64), {"add": "full", "modulated": True, "keep_sum": True}),
        ((2, 64, 32, 32), {"add": "channel"}),
    ):
        operands = {name: options[name] for name in ("add", "modulated") if name in options}
        inputs = group_norm_inputs(shape, **operands)  # type: ignore[arg-type]
        cases.append((group_norm_node(inputs, **options), inputs))  # type: ignore[arg-type]
    return cases


def attention_cases() -> list[tuple[Node, list[np.ndarray]]]:
    cases = []
    for queries, keys, heads, width in ((1024, 77, 5, 64), (512, 1000, 2, 64), (256, 77, 8, 160)):
        inputs = attention_inputs(queries, keys, heads, width)
        cases.append((attention_node(inputs, heads), inputs))
    return cases


@pytest.mark.parametrize(
    ("node", "inputs"),
    [*norm_cases(), combination((1, 4, 128, 128)), combination((3, 1000), 8), *attention_cases()],
    ids=lambda value: value.operator if isinstance(value, Node) else "",
)
@pytest.mark.parametrize("soc", ["ascend910b", "ascend310p"])
def test_work_is_what_the_simulator_counts(node: Node, inputs: list[np.ndarray], soc: str) -> None:
    kernel = BY_OPERATOR[node.operator]
    if kernel.refusal(node, SOCS[soc]) is not None:
        pytest.skip("not a node for the kernel")
    work = own_work(node, SOCS[soc])
    report = simulate_node(kernel, node, inputs, SOCS[soc]).report
    counted = report.total("global_bytes_read") + report.total("global_bytes_written")
    # Statistics, the rounding of tiles that stay, blocks of 32 bytes.
    assert work.moved_bytes == pytest.approx(counted, rel=0.02)
    assert work.moved_bytes >= sum(value.type.nbytes for value in (*node.inputs, *node.outputs))
    # Of attention without what is done for rows: it waits for memory.
    passes = 0.5 if node.operator == "attention" else 0.05
    assert work.vector_bytes == pytest.approx(report.total("element_bytes", "V"), rel=passes)
    # The kernel multiplies whole fractals of keys; 310P and 910B alike.
    assert work.multiply_adds == pytest.approx(report.total("multiply_adds"), rel=0.1)


def test_seconds_are_those_of_the_slowest_unit() -> None:
    def alone(**work: float) -> float:
        return seconds([Work(**{"first_bytes": 0, **work})], B910) - seconds([Work(0)], B910)  # type: ignore[arg-type]

    memory = alone(first_bytes=1 << 20)
    assert memory == pytest.approx((1 << 20) / B910.memory_bytes_per_second)
    assert alone(first_bytes=1 << 20, busy=0.5) == pytest.approx(2 * memory)
    # What is read again comes from the L2 cache, unless all of it is more than that.
    assert alone(first_bytes=1 << 20, again_bytes=1 << 20) == pytest.approx(memory)
    assert alone(first_bytes=1 << 28, again_bytes=1 << 28) == pytest.approx((1 << 29) / B910.memory_bytes_per_second)
    assert alone(multiply_adds=1 << 30) == pytest.approx((1 << 31) / B910.cube_flops)
    assert seconds([Work(1 << 20)] * 3, B910) == pytest.approx(3 * seconds([Work(1 << 20)], B910))


def test_even_share() -> None:
    assert even_share(32, 40) == 0.8
    assert even_share(64, 40) == 0.8
    assert even_share(41, 40) == pytest.approx(41 / 80)


def test_a_lone_group_norm_with_everything_around_it_is_ours() -> None:
    """The built-in one would need a sum before and two passes after it."""
    inputs = group_norm_inputs((1, 320, 64, 64), add="channel", modulated=True)
    node = group_norm_node(inputs, add="channel", modulated=True)
    for soc in SOCS.values():
        choice = choose(node, soc)
        assert (choice.kind, choice.type_name) == ("own", "CoopdrawGroupNorm")
        assert choice.own_seconds is not None
        assert choice.built_in_seconds is not None
        assert choice.built_in_seconds > 2 * choice.own_seconds
        assert "in 1 and 5 operators" in choice.reason


def test_ours_must_be_clearly_faster() -> None:
    """Five batches of 32 groups keep 40 cores busy: the device's own is as good, and it ran on devices."""
    choice = choose(group_norm_node(group_norm_inputs((5, 320, 64, 64))), B910)
    assert choice.kind == "built-in"
    assert "100 % and 100 % of the cores" in choice.reason


@pytest.mark.parametrize(
    ("queries", "keys", "layout", "kind"),
    [(4096, 4096, "BSH", "built-in"), (4096, 77, "BSH", "own"), (4096, 77, "BNSD", "built-in")],
)
def test_attention_by_estimate(queries: int, keys: int, layout: str, kind: str) -> None:
    """Transposes into the built-in operator's layout cost little of long keys, and most of short ones."""
    node = attention_node(attention_inputs(queries, keys, 10, 64, layout), 10, layout=layout)
    assert choose(node, B910).kind == kind


@pytest.mark.parametrize(
    ("scale", "kind", "part"),
    [(0.1, "own", "scales by 1 / sqrt(64) = 0.125"), (0.125, "built-in", "asked for")],
)
def test_attention_by_scale(scale: float, kind: str, part: str) -> None:
    node = attention_node(attention_inputs(256, 256, 2, 64), 2, scale)
    assert choose(node, B910, "auto" if kind == "own" else "built-in").kind == kind
    assert part in choose(node, B910, "auto" if kind == "own" else "built-in").reason


def test_wishes() -> None:
    node = group_norm_node(group_norm_inputs((1, 320, 64, 64)))
    assert choose(node, B910, "own").type_name == "CoopdrawGroupNorm"
    assert choose(node, B910, "built-in").type_name == "GroupNormSilu"
    assert choose(node, B910, "own").reason == "own was asked for"


def test_a_wish_that_is_not_legal_says_so() -> None:
    odd = group_norm_node(group_norm_inputs((1, 32, 7, 7)))
    choice = choose(odd, P310, "own")
    assert (choice.kind, choice.own_seconds) == ("built-in", None)
    assert "own was asked for, but ascend310p copies multiples of 32 bytes" in choice.reason
    scaled = attention_node(attention_inputs(256, 256, 2, 64), 2, 0.5)
    choice = choose(scaled, B910, "built-in")
    assert (choice.kind, choice.type_name) == ("plain", "")
    assert "built-in was asked for, but the scale is 0.5" in choice.reason


@pytest.mark.parametrize(
    ("approximate", "gate", "kind", "part"),
    [("tanh", "second", "built-in", "no Ascend kernel of ours"), ("none", "second", "plain", "by tanh"),
     ("tanh", "first", "plain", "gates by the second half")],
)  # fmt: skip
def test_geglu(approximate: str, gate: str, kind: str, part: str) -> None:
    x = np.zeros((1, 64, 256), np.float16)
    choice = choose(make_node("geglu", [x], {"approximate": approximate, "gate": gate}), B910)
    assert choice.kind == kind
    assert part in choice.reason


def test_a_mask_leaves_plain_operators() -> None:
    inputs = [*attention_inputs(64, 64, 2, 64), np.zeros((1, 1, 64, 64), np.float16)]
    choice = choose(attention_node(inputs, 2), B910)
    assert choice.kind == "plain"
    assert "mask" in choice.reason


def test_plain_works_add_up() -> None:
    """Two products with a constant each, and their sum."""
    node, inputs = combination((1, 4, 64, 64), 2)
    works = plain_works(node)
    plane = inputs[0].nbytes
    scalar = inputs[0].itemsize
    assert [work.moved_bytes for work in works] == [2 * plane + scalar, 2 * plane + scalar, 3 * plane]
    assert sum(work.first_bytes for work in works) == 3 * plane
    assert plain_works(make_node("relu", [inputs[0]], {})) == ()


def module_of(node_count: int) -> Module:
    """A function with group norms in Cells of their own, called by nobody, and an entry with one sum."""
    body = GraphBuilder("unet")
    x = body.input("x", TensorType(DType.FLOAT16, (1, 64, 16, 16)))
    gamma = body.constant(np.ones(64, np.float16))
    y = x
    for index in range(node_count):
        body.source = f"blocks.{index}"
        y = body.add("group_norm", y, gamma, gamma, groups=32, epsilon=1e-5)
        y = body.add("relu", y)
    entry = GraphBuilder("entry")
    noise = entry.input("noise", TensorType(DType.FLOAT16, (1, 4, 16, 16)))
    mixed = entry.add("linear_combination", noise, noise, weights=(1.0, -0.5))
    return Module(entry.build([mixed]), {"unet": body.build([y])})


def test_choices_of_a_module() -> None:
    module = module_of(3)
    found = choices(module, B910)
    assert [(choice.function, choice.cell) for choice in found] == [
        ("entry", ""),
        *(("unet", f"blocks.{index}") for index in range(3)),
    ]
    assert found == choices(module, B910)
    wished = choices(module, B910, {"group_norm": "own"})
    assert [choice.kind for choice in wished[1:]] == ["own"] * 3
    assert wished[0] == found[0]


def test_equal_choices_are_one_line_of_the_summary() -> None:
    lines = summary(choices(module_of(5), B910, {"group_norm": "built-in"}))
    assert [(line["operator"], line["count"], line["functions"]) for line in lines] == [
        ("linear_combination", 1, {"entry": 1}),
        ("group_norm", 5, {"unet": 5}),
    ]
    assert lines[1]["type"] == "GroupNormSilu"
    assert lines[1]["reason"] == "built-in was asked for"
    assert all(math.isfinite(line["own_seconds"]) for line in lines)
    assert not any("%" in word and word != "%" for line in lines for word in line["reason"].split())


def test_every_kernel_is_in_the_catalogue_once() -> None:
    operators = [operator for kernel in ASCEND_KERNELS for operator in kernel.operators]
    assert sorted(operators) == sorted(BY_OPERATOR)
