"""op_host of attention, run against stubs of CANN's API, says what the Python side says; and what its kernel calls."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest
from kernels.calling import make_node

from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.host import call_line, host_program, run_host
from coopdraw.kernels.ascend.kernel import Layout
from coopdraw.kernels.ascend.render import kernel_source
from coopdraw.kernels.attention.ascend import ASCEND
from coopdraw.kernels.simulator.soc import SOCS

CALLED = {
    "the types": {"BinaryRepeatParams", "DataCopyParams", "GlobalTensor", "HardEvent", "LocalTensor", "MatmulType"}
    | {"RoundMode", "TBuf", "TEventID", "TPipe", "TPosition", "TQue", "Matmul"},
    "copies and order": {
        "DataCopy",
        "FetchEventID",
        "GetBlockIdx",
        "GetUserWorkspace",
        "PipeBarrier",
        "SetFlag",
        "WaitFlag",
    },
    "vector instructions": {
        "Add",
        "Adds",
        "BlockReduceMax",
        "BlockReduceSum",
        "Brcb",
        "Cast",
        "Div",
        "Duplicate",
        "Exp",
    }
    | {"Max", "Mul", "Muls", "Sub"},
    "shared templates": {"DataCopyExtParams", "DataCopyPad", "DataCopyPadExtParams"},
}
MACROS = {
    "GET_TILING_DATA",
    "KERNEL_TASK_TYPE_DEFAULT",
    "REGISTER_TILING_DEFAULT",
    "REGIST_MATMUL_OBJ",
    "TILING_KEY_IS",
}
METHODS = {
    "End",
    "IterateAll",
    "SetLocalWorkspace",
    "SetOrgShape",
    "SetTail",
    "SetTensorA",
    "SetTensorB",
    "WaitIterateAll",
}


def unread(shape: tuple[int, ...]) -> np.ndarray:
    """An array of which only the type matters, without its memory."""
    return np.broadcast_to(np.zeros((), np.float16), shape)


def node_of(
    batch: int, heads: int, queries: int, keys: int, width: int, value_width: int, layout: str, scale: float
) -> Node:
    shapes = []
    for length, columns in ((queries, width), (keys, width), (keys, value_width)):
        split = layout == "BSH"
        shapes.append((batch, length, heads * columns) if split else (batch, heads, length, columns))
    return make_node(
        "attention", [unread(shape) for shape in shapes], {"heads": heads, "scale": scale, "layout": layout}
    )


def nodes() -> list[Node]:
    """Some of all combinations, always the same ones."""
    every = itertools.product(
        (1, 2, 3),
        (1, 5, 8, 10, 20, 64),
        (1, 16, 77, 256, 1000, 1024, 4096, 9216),
        (1, 15, 16, 77, 511, 512, 513, 1024, 4096),
        (16, 40, 64, 80, 128, 160, 256, 272),
        (16, 64, 128, 256),
        ("BSH", "BNSD"),
    )
    chosen = random.Random(0).sample(list(every), 500)
    return [node_of(*values, random.Random(index).uniform(-0.01, 0.5)) for index, values in enumerate(chosen)]  # type: ignore[misc]


@pytest.mark.parametrize("layout", Layout)
def test_tiling_and_shapes_agree(layout: Layout) -> None:
    calls = list(itertools.product(nodes(), SOCS.values()))
    results = run_host(host_program([ASCEND], layout), [call_line(ASCEND, *call) for call in calls])
    refused = 0
    for (node, soc), result in zip(calls, results, strict=True):
        where = f"{node} on {soc.name}"
        if ASCEND.refusal(node, soc) is not None:
            assert result is None, where
            refused += 1
            continue
        assert result is not None, where
        launch = ASCEND.launch_of(node, soc)
        assert result.tiling == launch.tiling.encode(), where
        assert (result.cores, result.key) == (launch.cores, launch.key), where
        assert result.workspace_bytes - result.library_workspace_bytes == launch.workspace_bytes, where
        assert result.outputs == (node.outputs[0].type,), where
    assert len(calls) >= 1500
    assert 0 < refused < len(calls) / 2


@pytest.mark.parametrize("layout", Layout)
def test_only_these_are_called(layout: Layout) -> None:
    source = re.sub(r"//.*", "", kernel_source(ASCEND, layout))
    assert set(re.findall(r"AscendC::(\w+)", source)) <= set().union(*CALLED.values())
    assert set(re.findall(r"\b([A-Z][A-Z_]+[A-Z])\(", source)) <= MACROS
    products = re.findall(r"\b(?:product|score_product|value_product)\.(?:template )?(\w+)", source)
    assert set(products) == METHODS


def test_310p_has_no_asynchronous_product() -> None:
    source = kernel_source(ASCEND, Layout.CANN9)
    for name in ("WaitIterateAll", "IterateAll<false>", "KERNEL_TASK_TYPE_DEFAULT"):
        before = source[: source.index(name)]
        guards = re.findall(r"^#(if|else|endif)\b(.*)$", before, re.MULTILINE)
        depth = [condition for kind, condition in guards if kind != "endif"]
        assert depth, name
        assert guards[-1][0] == "else" or "!(" in guards[-1][1], name
