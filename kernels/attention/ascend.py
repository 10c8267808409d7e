"""The Ascend kernel of attention."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.attention import LAYOUTS
from coopdraw.kernels.ascend.kernel import AscendKernel, AttributeKind, AttributeParameter, Call, Parameter
from coopdraw.kernels.attention import tiling


def _call(node: Node) -> Call:
    """All operands; the layout by its index."""
    attributes = node.attributes
    layout = LAYOUTS.index(str(attributes["layout"]))
    return Call(inputs=(0, 1, 2), outputs=(0,), attributes=(attributes["heads"], attributes["scale"], layout))


ASCEND = AscendKernel(
    operators=("attention",),
    type_name="CoopdrawAttention",
    folder="attention",
    inputs=(Parameter("query"), Parameter("key"), Parameter("value")),
    outputs=(Parameter("y"),),
    attributes=(
        AttributeParameter("heads", AttributeKind.INT),
        AttributeParameter("scale", AttributeKind.FLOAT),
        AttributeParameter("layout", AttributeKind.INT, 0),
    ),
    tiling=tiling.AttentionTiling,
    problem=tiling.problem,
    launch=tiling.launch,
    call=_call,
    limits=tiling.limits,
    dtypes=("float16",),
    cores="mixed",
    constants={
        "QUERY_BLOCKS": tiling.QUERY_BLOCKS,
        "KEY_BLOCK": tiling.KEY_BLOCK,
        "TILES": tiling.TILES,
        "SOFTMAX_ROWS": tiling.SOFTMAX_ROWS,
        "WIDTHS": tiling.WIDTHS,
        "MOST_COLUMNS": tiling.MOST_COLUMNS,
        "TASK_COST": tiling.TASK_COST,
        "CUBE_COLUMNS": tiling.CUBE_COLUMNS,
        "CUBE_DEPTH": tiling.CUBE_DEPTH,
    },
)
