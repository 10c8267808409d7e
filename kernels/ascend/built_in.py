"""What the device's own operators can compute of ours, and what that moves: from public sources, nothing was run.

`ops-nn` and `ops-transformer` are the repositories of CANN's operators (hicann), `mindspore-lite` and `docs` are
mindspore-ai's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from coopdraw.graphs.ir import Graph, Node
from coopdraw.graphs.ops import bytes_moved, lookup
from coopdraw.graphs.ops.fused.attention import AttentionExtents, attention_extents
from coopdraw.graphs.passes.decomposition import decompose
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.capacity import ceil_div, round_up
from coopdraw.kernels.ascend.own_work import attention_work
from coopdraw.kernels.ascend.work import Work, even_share
from coopdraw.kernels.attention.tiling import AttentionProblem
from coopdraw.kernels.simulator.soc import Soc

MOST_AXES = 8
"""Axes of a tensor that the device's operators take: "8" or "2-8" in the tables of ops-nn:*/docs/aclnn*.md."""

FLASH_WIDTH_MULTIPLE, FLASH_PADDED_WIDTH, FLASH_MOST_WIDTH = 16, 40, 512
_FLASH_BATCHES, _FLASH_HEADS = 127, 256
_FLASH_QUERIES, _FLASH_KEYS = 128, 1024
_FLOAT = 4
# Bytes of vector operations on an element of x, counted when ops-nn:norm/group_norm_silu was simulated; SiLU's part.
_NORM_VECTOR_BYTES = {2: 48, 4: 36}
_SILU_VECTOR_BYTES = 16


@dataclass(frozen=True)
class BuiltIn:
    """An operator of the device.

    `refusal(node, soc)` says why it can't stand for a node, as a clause; None if it can. `works(node, soc)` are the
    operators that then run one after the other: it, and what the node has around it.
    """

    type_name: str
    refusal: Callable[[Node, Soc], str | None]
    works: Callable[[Node, Soc], tuple[Work, ...]]


def scales_as_flash_attention(extents: AttentionExtents, scale: float) -> bool:
    """Whether an attention is scaled by 1 / sqrt(head width), in float32.

    mindspore-lite:tools/optimizer/fusion/flash_attention_fusion.cc (PFACheckShape) computes the scale from the shape.
    """
    return math.isclose(scale, extents.width**-0.5, rel_tol=1e-6)


def plain_works(node: Node) -> tuple[Work, ...]:
    """The work of the plain operators that a fused one is made of, each through memory; empty for one that isn't fused.

    What one of them writes for the next counts as `again_bytes`. Every element that is written is one vector operation,
    in float32, but for products of matrices.
    """
    if lookup(node.operator).decompose is None:
        return ()
    graph, _ = decompose(_alone(node), lambda made: made.operator != node.operator)
    outside = {*graph.inputs, *graph.outputs}
    works = []
    for made in graph.nodes:
        types = [value.type for value in made.inputs], [value.type for value in made.outputs]
        moved = bytes_moved(made.operator, *types)
        inner = sum(value.type.nbytes for value in (*made.inputs, *made.outputs) if value not in outside)
        product = lookup(made.operator).flops(*types, made.attributes) // 2 if made.operator == "matmul" else 0
        vector = 0 if product else sum(type.size for type in types[1]) * _FLOAT
        if moved:
            works.append(Work(max(moved - inner, 0), min(moved, inner), vector, product))
    return tuple(works)


def _alone(node: Node) -> Graph:
    inputs = tuple(dict.fromkeys(node.inputs))
    return Graph("alone", inputs, (node,), node.outputs, tuple(value.name for value in node.outputs))


def _dtype_refusal(name: str, node: Node, soc: Soc, allowed: tuple[DType, ...]) -> str | None:
    """bfloat16 is left out where the SoC has none: "Atlas 推理系列产品：不支持BFLOAT16" of each operator's page."""
    taken = tuple(dtype for dtype in allowed if dtype is not DType.BFLOAT16 or not soc.coupled)
    for value in (*node.inputs, *node.outputs):
        if value.type.dtype not in taken:
            return f"{name} takes {' or '.join(taken)} on {soc.name}, but %{value.name} is {value.type}"
    return None


def _group_norm_refusal(node: Node, soc: Soc) -> str | None:
    """ops-nn:norm/group_norm_silu/docs/aclnnGroupNormSilu.md; reached as a node `GroupNormSilu`, whose epsilon is kept
    (mindspore-lite:tools/converter/parser/onnx/onnx_groupnormsilu_parser.cc)."""
    x = node.inputs[0]
    if x.type.size == 0 or not 2 <= len(x.type.shape) <= MOST_AXES:
        return f"GroupNormSilu takes 2 to {MOST_AXES} axes and elements, but %{x.name} is {x.type}"
    return _dtype_refusal("GroupNormSilu", node, soc, (DType.FLOAT16, DType.FLOAT32, DType.BFLOAT16))


def _group_norm_works(node: Node, soc: Soc) -> tuple[Work, ...]:
    """GroupNormSilu reads x twice and gives whole groups to cores (ops-nn:norm/group_norm_silu/op_host/
    group_norm_silu_tiling.cpp, op_kernel/group_norm_silu_b16.h); sums before it and modulation after it are passes."""
    x, attributes = node.inputs[0].type, node.attributes
    add, modulated = attributes.get("add", "none") != "none", bool(attributes.get("modulated", False))
    silu = attributes.get("activation", "none") == "silu"
    plane, elements = x.nbytes, x.size
    works = []
    if add:
        kept = plane if attributes["keep_sum"] else 0
        works.append(Work(plane + node.inputs[3].type.nbytes + kept, plane - kept, elements * _FLOAT))
    fused_silu = silu and not modulated
    vector = _NORM_VECTOR_BYTES[x.dtype.itemsize] - (0 if fused_silu else _SILU_VECTOR_BYTES)
    groups = x.shape[0] * int(attributes["groups"])  # type: ignore[arg-type]
    first = (0 if add else plane) + (0 if modulated else plane)
    works.append(
        Work(first, 3 * plane - first, elements * vector, busy=even_share(groups, soc.vector_cores)),
    )
    if modulated:
        passes = 3 if silu else 2
        works += [Work(0, 2 * plane, elements * _FLOAT)] * (passes - 1)
        works.append(Work(plane, plane, elements * _FLOAT))
    return tuple(works)


def _attention_refusal(node: Node, soc: Soc) -> str | None:
    """MindSpore Lite puts PromptFlashAttention in the place of matmul, scale, softmax and matmul
    (mindspore-lite:tools/optimizer/fusion/flash_attention_fusion.cc, PFACheckShape; chips: tools/converter/adapter/acl/
    src/acl_pass_impl.cc); what that takes: ops-transformer:attention/prompt_flash_attention/README.md."""
    extents = attention_extents([value.type for value in node.inputs], node.attributes)
    scale = float(node.attributes["scale"])  # type: ignore[arg-type]
    if len(node.inputs) > 3:
        return "PromptFlashAttention takes masks of booleans, but this one is added to the scores"
    if extents.width != extents.value_width:
        widths = f"{extents.width} and {extents.value_width}"
        return f"keys and values are {widths} wide, but PromptFlashAttention takes one width"
    if extents.width > FLASH_MOST_WIDTH or (
        extents.width % FLASH_WIDTH_MULTIPLE and extents.width != FLASH_PADDED_WIDTH
    ):
        return (
            f"the heads are {extents.width} wide, but MindSpore Lite fuses multiples of {FLASH_WIDTH_MULTIPLE} up to "
            f"{FLASH_MOST_WIDTH}, and {FLASH_PADDED_WIDTH}"
        )
    if not scales_as_flash_attention(extents, scale):
        return (
            f"the scale is {scale:g}, but MindSpore Lite's PromptFlashAttention scales by "
            f"1 / sqrt({extents.width}) = {extents.width**-0.5:g}"
        )
    if extents.batch > _FLASH_BATCHES or extents.heads > _FLASH_HEADS:
        return (
            f"there are {extents.batch} batches of {extents.heads} heads, but PromptFlashAttention takes up to "
            f"{_FLASH_BATCHES} of {_FLASH_HEADS}"
        )
    if min(extents.batch, extents.queries, extents.keys) == 0:
        return "there are no queries or no keys"
    return _dtype_refusal("PromptFlashAttention", node, soc, (DType.FLOAT16, DType.BFLOAT16))


def _attention_works(node: Node, soc: Soc) -> tuple[Work, ...]:
    """Blocks of 128 queries and 1024 keys that cube cores share, scores in float32 (ops-transformer:attention/
    prompt_flash_attention/docs/PFA算子设计介绍.md, 2.2 and 3.1).

    The converter fuses in the layout BNSD by default (docs:docs/lite/docs/source_en/mindir/converter_tool_ascend.md,
    op-attrs), so rows that hold all heads are transposed before and after. Heads 40 wide are padded by 8.
    """
    extents = attention_extents([value.type for value in node.inputs], node.attributes)
    padded = round_up(extents.width, FLASH_WIDTH_MULTIPLE)
    shape = AttentionProblem(
        batch=extents.batch,
        heads=extents.heads,
        queries=extents.queries,
        keys=extents.keys,
        width=padded,
        value_width=padded,
        scale=1.0,
        split=False,
    )
    tensors = [value.type for value in (*node.inputs, node.output)]
    copies = (node.attributes["layout"] == "BSH") + (padded != extents.width)
    works = [Work(type.nbytes, type.nbytes) for type in tensors] * copies
    tasks = extents.batch * extents.heads * ceil_div(extents.queries, _FLASH_QUERIES)
    key_block = min(_FLASH_KEYS, round_up(extents.keys, FLASH_WIDTH_MULTIPLE))
    works.append(attention_work(shape, _FLASH_QUERIES, key_block, even_share(tasks, soc.cube_cores)))
    return tuple(works)


def _geglu_refusal(node: Node, soc: Soc) -> str | None:
    """What MindSpore Lite's fusion writes: tanh, the second half is the gate (mindspore-lite:tools/optimizer/fusion/
    gegluv2_fusion.cc); what that takes: ops-nn:activation/ge_glu_v2/docs/aclnnGeGluV3.md."""
    x = node.inputs[0]
    if node.attributes["approximate"] != "tanh":
        return "MindSpore Lite's GeGluV2 computes GELU by tanh, but this one is by erf"
    if node.attributes["gate"] != "second":
        return "MindSpore Lite's GeGluV2 gates by the second half, but this one by the first"
    if x.type.size == 0 or len(x.type.shape) > MOST_AXES:
        return f"GeGluV2 takes up to {MOST_AXES} axes and elements, but %{x.name} is {x.type}"
    return _dtype_refusal("GeGluV2", node, soc, (DType.FLOAT16, DType.FLOAT32, DType.BFLOAT16))


def _geglu_works(node: Node, soc: Soc) -> tuple[Work, ...]:
    """GeGluV2 also writes the activated gate (ops-nn:activation/ge_glu_v2/README.md, outGelu); a bias is a pass."""
    x, y = node.inputs[0].type, node.output.type
    biased = len(node.inputs) > 1
    works = [Work(x.nbytes, x.nbytes, x.size * _FLOAT)] if biased else []
    lines = x.size // x.shape[-1]
    first = 2 * y.nbytes + (0 if biased else x.nbytes)
    gelu_passes = 12
    busy = even_share(lines, soc.vector_cores)
    works.append(Work(first, x.nbytes if biased else 0, y.size * gelu_passes * _FLOAT, busy=busy))
    return tuple(works)


_GROUP_NORM = BuiltIn("GroupNormSilu", _group_norm_refusal, _group_norm_works)

BUILT_IN: dict[str, BuiltIn] = {
    "attention": BuiltIn("PromptFlashAttention", _attention_refusal, _attention_works),
    "fused_group_norm": _GROUP_NORM,
    "geglu": BuiltIn("GeGluV2", _geglu_refusal, _geglu_works),
    "group_norm": _GROUP_NORM,
}
"""The device's operators by canonical operator."""
