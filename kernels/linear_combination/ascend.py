"""The Ascend kernel of linear_combination."""

from __future__ import annotations

from coopdraw.graphs.ir import Node
from coopdraw.kernels.ascend.kernel import AscendKernel, AttributeKind, AttributeParameter, Call, Parameter
from coopdraw.kernels.linear_combination import tiling


def _call(node: Node) -> Call:
    """The node's operands, and None for those that it doesn't have."""
    places = [index if index < len(node.inputs) else None for index in range(tiling.MOST_INPUTS)]
    return Call(inputs=tuple(places), outputs=(0,), attributes=(node.attributes["weights"],))


ASCEND = AscendKernel(
    operators=("linear_combination",),
    type_name="CoopdrawLinearCombination",
    folder="linear_combination",
    inputs=tuple(Parameter(f"x{index}", optional=index > 0) for index in range(tiling.MOST_INPUTS)),
    outputs=(Parameter("y"),),
    attributes=(AttributeParameter("weights", AttributeKind.LIST_FLOAT),),
    tiling=tiling.LinearCombinationTiling,
    problem=tiling.problem,
    launch=tiling.launch,
    call=_call,
    limits=tiling.limits,
    constants={"MOST_INPUTS": tiling.MOST_INPUTS, "TILE_BYTES": tiling.TILE_BYTES},
)
