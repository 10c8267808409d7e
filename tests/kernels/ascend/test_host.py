"""The host side of the generated projects, run against stubs of CANN's API, says what the Python side says."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from kernels.ascend.nodes import group_norm_node
from kernels.calling import make_node

from coopdraw.graphs.errors import CheckError
from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.capacity import usable_ub_bytes
from coopdraw.kernels.ascend.host import call_line, host_program, run_host
from coopdraw.kernels.ascend.kernel import AscendKernel, Layout
from coopdraw.kernels.group_norm.ascend import ASCEND as GROUP_NORM
from coopdraw.kernels.linear_combination.ascend import ASCEND as LINEAR_COMBINATION
from coopdraw.kernels.simulator.soc import SOCS

KERNELS = (GROUP_NORM, LINEAR_COMBINATION)
BATCH_MODE = 1


def unread(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """An array of which only the type matters, without its memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def group_norm_nodes() -> list[Node]:
    """Some of all combinations, always the same ones."""
    batches, planes = (1, 2, 3, 5), ((128, 128), (64, 64), (96, 160), (32, 32), (16, 48), (7, 9), (3, 5, 7), (33,), ())
    channels = (
        (320, 32),
        (640, 32),
        (1280, 32),
        (1920, 32),
        (48, 3),
        (60, 4),
        (33, 11),
        (512, 1),
        (20000, 2),
        (16, 16),
    )
    variants = itertools.product(("none", "channel", "full"), (False, True), ("none", "silu"), (False, True))
    every = list(itertools.product(batches, planes, channels, ("float16", "float32"), variants))
    nodes = []
    for batch, plane, (width, groups), dtype, (add, modulated, activation, keep_sum) in random.Random(0).sample(
        every, 500
    ):
        x, row, rows = (batch, width, *plane), (width,), (batch, width)
        shapes = [x, row, row]
        shapes += {"none": [], "channel": [rows], "full": [x]}[add] + [rows, rows] * modulated
        nodes.append(
            group_norm_node(
                [unread(shape, dtype) for shape in shapes],
                groups,
                add=add,
                modulated=modulated,
                activation=activation,
                keep_sum=keep_sum and add != "none",
                epsilon=random.Random(batch).uniform(1e-7, 1e-3),
            )
        )
    return nodes


def plain_group_norm_nodes() -> list[Node]:
    shapes = ((1, 320, 64, 64), (2, 96, 12, 20), (1, 16, 5))
    return [
        make_node(
            "group_norm",
            [unread(shape, "float16"), *[unread(shape[1:2], "float16")] * 2],
            {"groups": 8, "epsilon": 1e-6},
        )
        for shape in shapes
    ]


def linear_combination_nodes() -> list[Node]:
    shapes = ((1, 4, 128, 128), (2, 4, 64, 64), (1, 320, 64, 64), (3, 5), (17,), (), (1,), (4096, 4096), (8, 8))
    every = itertools.product(shapes, ("float16", "float32"), range(1, 10))
    return [
        make_node(
            "linear_combination",
            [unread(shape, dtype)] * count,
            {"weights": tuple(random.Random(count).uniform(-8, 8) for _ in range(count))},
        )
        for shape, dtype, count in every
        if count <= len(LINEAR_COMBINATION.inputs)
    ]


CASES: list[tuple[AscendKernel, Node]] = [
    *((GROUP_NORM, node) for node in (*group_norm_nodes(), *plain_group_norm_nodes())),
    *((LINEAR_COMBINATION, node) for node in linear_combination_nodes()),
]


@pytest.mark.parametrize("layout", Layout)
def test_tiling_and_shapes_agree(layout: Layout) -> None:
    calls = [(kernel, node, soc) for (kernel, node), soc in itertools.product(CASES, SOCS.values())]
    results = run_host(host_program(KERNELS, layout), [call_line(*call) for call in calls])
    refused = 0
    for (kernel, node, soc), result in zip(calls, results, strict=True):
        where = f"{node} on {soc.name}"
        if kernel.refusal(node, soc) is not None:
            assert result is None, where
            refused += 1
            continue
        assert result is not None, where
        launch = kernel.launch_of(node, soc)
        assert result.tiling == launch.tiling.encode(), where
        assert (result.cores, result.key) == (launch.cores, launch.key), where
        assert result.workspace_bytes - result.library_workspace_bytes == launch.workspace_bytes, where
        shared = kernel is GROUP_NORM and launch.key == GROUP_NORM.constants["SHARED_GROUPS"]
        assert result.schedule_mode == (BATCH_MODE if shared else 0), where
        for place, index in enumerate(kernel.call(node).outputs):
            if index is not None:
                assert result.outputs[place] == node.outputs[index].type, where
    assert len(calls) > 1500
    assert 0 < refused < len(calls) / 3


def test_memory_that_is_stated_fits() -> None:
    for (kernel, node), soc in itertools.product(CASES, SOCS.values()):
        if kernel.refusal(node, soc) is None:
            launch = kernel.launch_of(node, soc)
            assert launch.memory["ub"] <= usable_ub_bytes(soc)
            assert 1 <= launch.cores <= soc.vector_cores


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("CoopdrawGroupNorm", "Other", "there is no operator Other"),
        (" float16:", " int8:", "no tensor: int8"),
        (" / 32 ", " / - ", "attribute groups is required"),
        (" / 32 ", " / many ", "no number: many"),
    ],
)
def test_calls_that_no_definition_fits(old: str, new: str, part: str) -> None:
    node = group_norm_node([unread(shape, "float16") for shape in ((1, 320, 8, 8), (320,), (320,))])
    line = call_line(GROUP_NORM, node, SOCS["ascend910b"])
    with pytest.raises(CheckError, match=part):
        run_host(host_program(KERNELS, Layout.CANN9), [line.replace(old, new, 1)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" - - - / ", " float16:1,320 - - / "),  # something to add, though nothing is added
        ("/ 32 ", "/ 7 "),  # groups that don't divide the channels
        ("/ 32 ", "/ 0 "),
    ],
)
def test_calls_that_the_host_refuses(old: str, new: str) -> None:
    node = group_norm_node([unread(shape, "float16") for shape in ((1, 320, 8, 8), (320,), (320,))])
    line = call_line(GROUP_NORM, node, SOCS["ascend910b"])
    assert old in line
    assert run_host(host_program(KERNELS, Layout.CANN9), [line.replace(old, new, 1)]) == [None]
