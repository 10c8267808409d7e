"""The Ascend kernel of group_norm and fused_group_norm."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.graphs.ops.fused.group_norm import ACTIVATIONS, ADDS
from coopdraw.kernels.ascend.kernel import AscendKernel, AttributeKind, AttributeParameter, Call, Parameter
from coopdraw.kernels.group_norm import tiling


def _call(node: Node) -> Call:
    """The node's inputs as x, gamma, beta, added, scale, shift; a plain group_norm has only the first three."""
    shape = tiling.problem(node)
    names = ["added"] * (shape.add != "none") + ["scale", "shift"] * shape.modulated
    places = {name: 3 + index for index, name in enumerate(names)}
    return Call(
        inputs=(0, 1, 2, places.get("added"), places.get("scale"), places.get("shift")),
        outputs=(0, 1 if shape.keep_sum else None),
        attributes=(
            shape.groups,
            shape.epsilon,
            ACTIVATIONS.index("silu" if shape.silu else "none"),
            ADDS.index(shape.add),
            shape.modulated,
            shape.keep_sum,
        ),
    )


ASCEND = AscendKernel(
    operators=("fused_group_norm", "group_norm"),
    type_name="CoopdrawGroupNorm",
    folder="group_norm",
    inputs=(
        Parameter("x"),
        Parameter("gamma"),
        Parameter("beta"),
        Parameter("added", optional=True),
        Parameter("scale", optional=True),
        Parameter("shift", optional=True),
    ),
    # An output always exists on the device: without keep_sum, nothing is written to `sum`.
    outputs=(Parameter("y"), Parameter("sum")),
    attributes=(
        AttributeParameter("groups", AttributeKind.INT),
        AttributeParameter("epsilon", AttributeKind.FLOAT, 1e-5),
        AttributeParameter("activation", AttributeKind.INT, 0),
        AttributeParameter("add", AttributeKind.INT, 0),
        AttributeParameter("modulated", AttributeKind.BOOL, False),
        AttributeParameter("keep_sum", AttributeKind.BOOL, False),
    ),
    tiling=tiling.GroupNormTiling,
    problem=tiling.problem,
    launch=tiling.launch,
    call=_call,
    limits=tiling.limits,
    constants={
        "TILE_BYTES": tiling.TILE_BYTES,
        "SLOT_BYTES": tiling.SLOT_BYTES,
        "WHOLE_GROUPS": tiling.WHOLE_GROUPS,
        "SHARED_GROUPS": tiling.SHARED_GROUPS,
    },
)
