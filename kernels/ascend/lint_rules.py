"""The rules of the lint: each yields what it finds at one node.

Every rule names in its docstring the public page that it is from: `ops-nn`, `ops-math`, `ops-cv` and `ops-transformer`
are CANN's operators (hicann), `mindspore-lite` is mindspore-ai's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from coopdraw.graphs.ir import Node, Value
from coopdraw.graphs.types import DType
from coopdraw.kernels.ascend.ai_core_types import AI_CORE_TYPES, MATRIX_TYPES
from coopdraw.kernels.ascend.built_in import BUILT_IN, MOST_AXES
from coopdraw.kernels.ascend.catalogue import BY_OPERATOR
from coopdraw.kernels.ascend.lint_finding import Finding, Place, Rule

_CONVOLUTION = "ops-nn:conv/convolution_forward/docs/aclnnConvolution.md"
_CONV2D = "ops-nn:common/inc/op_graph/op_nn_proto_extend.h"
_AVG_POOL = "ops-nn:pooling/avg_pool3_d/docs/aclnnAvgPool2d.md"
_MATMUL = "ops-nn:matmul/mat_mul_v3/docs/aclnnMatmul.md"
_NEAREST = "ops-cv:image/resize_nearest_neighbor_v2/docs/aclnnUpsampleNearest2d.md"
_RESIZE = "mindspore-lite:tools/converter/adapter/acl/mapper/resize_mapper.cc"
GEGLU_PAGE = "mindspore-lite:tools/optimizer/fusion/gegluv2_fusion.cc"
_FLASH = "mindspore-lite:tools/optimizer/fusion/flash_attention_fusion.cc"
_CAST = "ops-math:math/cast/docs/aclnnCast.md"
_PERMUTE = "ops-math:conversion/transpose/docs/aclnnPermute.md"
_SIN = "ops-math:math/sin/docs/aclnnSin&aclnnInplaceSin.md"

_UNSEEN = frozenset({"constant", "weight", "call", "identity"})
_MATMUL_AXES = 6
_MOST_RESIZE_EXTENT = 1 << 20
_MOST_COUPLED_EXTENT = 4096
_MOST_ANGLE = {True: 65504.0, False: 1e7}
_WITHOUT_EMPTY = {"avg_pool2d": _AVG_POOL, "resize": _NEAREST}


def bfloat16(place: Place) -> Iterator[Finding]:
    """The 310P has none: "Atlas 推理系列产品：不支持BFLOAT16" (ops-math:math/cast/docs/aclnnCast.md, as all pages)."""
    for value in place.node.outputs:
        if place.soc.coupled and value.type.dtype is DType.BFLOAT16:
            reason = f"{place.soc.name} has no bfloat16, but %{value.name} is {value.type}"
            yield place.error(reason, "compile with precision float16", _CAST)
            return


def no_form(place: Place) -> Iterator[Finding]:
    """Matrix operators and activations take float16, float32 and, on the 910B, bfloat16: the pages in MATRIX_TYPES."""
    types = MATRIX_TYPES.get(place.node.operator)
    if types is None:
        return
    for value in _of_other_types(place.node, types.taken(place.soc.coupled)):
        reason = f"{place.node.operator} has no form for {value.type.dtype}, but %{value.name} is {value.type}"
        yield place.error(reason, "cast it to float16 or float32", types.page)
        return


def ai_cpu(place: Place) -> Iterator[Finding]:
    """What the AI cores don't take goes to the AI CPU: the sources in AI_CORE_TYPES."""
    types = AI_CORE_TYPES.get(place.node.operator)
    if types is None:
        return
    taken = types.taken(place.soc.coupled)
    node = place.node
    operands = node.inputs[1:] if node.operator == "select" else node.inputs
    for value in operands:
        dtype = value.type.dtype
        if dtype not in taken and dtype is not DType.BFLOAT16:
            reason = f"{node.operator} of {dtype} runs on the slow AI CPU, and %{value.name} is {value.type}"
            yield place.warning(reason, "cast it to float32, float16 or int32", types.page)
            return


def narrowed_products(place: Place) -> Iterator[Finding]:
    """The 310P's cube has no float32: "为0(KEEP_DTYPE)时，当输入是FLOAT暂不支持", "允许转换为FLOAT16计算"
    (ops-nn:conv/convolution_forward/docs/aclnnConvolution.md, matmul/mat_mul_v3/docs/aclnnMatmul.md,
    pooling/avg_pool3_d/docs/aclnnAvgPool2d.md)."""
    pages = {"conv2d": _CONVOLUTION, "matmul": _MATMUL, "linear": _MATMUL, "avg_pool2d": _AVG_POOL}
    node = place.node
    if place.soc.coupled and node.operator in pages and node.inputs[0].type.dtype is DType.FLOAT32:
        reason = f"{place.soc.name} computes a float32 {node.operator} in float16, and enforce_origin refuses it"
        fix = "convert with precision_mode preferred_fp32, and look for values above 65504 here first"
        yield place.warning(reason, fix, pages[node.operator])


def convolution_limits(place: Place) -> Iterator[Finding]:
    """The table of Conv2D's ranges (ops-nn:common/inc/op_graph/op_nn_proto_extend.h, REG_OP(Conv2D)); groups, and
    extents and kernels of the 310P (ops-nn:conv/convolution_forward/docs/aclnnConvolution.md)."""
    if place.node.operator != "conv2d":
        return
    attributes, coupled = place.node.attributes, place.soc.coupled
    (height, width), kernel = place.node.inputs[0].type.shape[2:], place.node.inputs[1].type.shape[2:]
    page = _CONVOLUTION if coupled else _CONV2D
    checks = (
        ("height", (height,), 1, _MOST_COUPLED_EXTENT if coupled else 100_000, page),
        ("width", (width,), 1, _MOST_COUPLED_EXTENT, page),
        ("kernel", kernel, 1, 255 if coupled else 511, page),
        ("stride", attributes["stride"], 1, 63, _CONV2D),
        ("dilation", attributes["dilation"], 1, 255, _CONV2D),
        ("padding", attributes["padding"], 0, 255, _CONV2D),
        ("groups", (attributes["groups"],), 1, 65535, _CONVOLUTION),
    )
    for name, found, least, most, source in checks:
        for number in found:  # type: ignore[union-attr]
            if not least <= number <= most:  # type: ignore[operator]
                reason = f"conv2d's {name} is {number}, but {place.soc.name} takes {least} to {most}"
                yield place.error(reason, "cut the image into parts or the kernel into several", source)
                break


def pooling_limits(place: Place) -> Iterator[Finding]:
    """Kernels up to 255, of less than 256 elements, strides up to 63 (ops-nn:common/inc/op_graph/op_nn_proto_extend.h,
    REG_OP(AvgPool))."""
    if place.node.operator != "avg_pool2d":
        return
    kernel, stride = place.node.attributes["kernel"], place.node.attributes["stride"]
    assert isinstance(kernel, tuple)
    assert isinstance(stride, tuple)
    if math.prod(kernel) > 255 or max(stride) > 63:
        reason = (
            f"avg_pool2d has kernel {kernel} and stride {stride}, but takes less than 256 elements and strides up to 63"
        )
        yield place.error(reason, "use several smaller pools or a reduce_mean", _CONV2D)


def too_many_axes(place: Place) -> Iterator[Finding]:
    """8 axes for any operator ("维度超过8维", ops-math:conversion/transpose/docs/aclnnPermute.md and others), 6 for
    products of matrices ("支持1维到6维", ops-nn:matmul/mat_mul_v3/docs/aclnnMatmul.md)."""
    node = place.node
    product = node.operator in ("matmul", "linear")
    most = _MATMUL_AXES if product else MOST_AXES
    for value in (*node.inputs, *node.outputs):
        if len(value.type.shape) > most and node.operator not in _UNSEEN:
            reason = f"{node.operator} takes up to {most} axes, but %{value.name} is {value.type}"
            yield place.error(reason, "reshape neighbouring axes into one before", _MATMUL if product else _PERMUTE)
            return


def resize_forms(place: Place) -> Iterator[Finding]:
    """Cubic coordinates are half_pixel or align_corners (mindspore-lite:tools/converter/adapter/acl/mapper/
    resize_mapper.cc); extents are at most 2^20 (ops-cv:image/resize_nearest_neighbor_v2/docs/
    aclnnUpsampleNearest2d.md)."""
    node = place.node
    if node.operator != "resize":
        return
    if node.attributes["mode"] == "bicubic" and node.attributes["coordinates"] == "asymmetric":
        reason = "MindSpore Lite turns asymmetric coordinates of a bicubic resize into half_pixel"
        yield place.error(reason, "use half_pixel or align_corners", _RESIZE)
    for value in (*node.inputs, *node.outputs):
        if max(value.type.shape) > _MOST_RESIZE_EXTENT:
            reason = f"resize takes extents up to {_MOST_RESIZE_EXTENT}, but %{value.name} is {value.type}"
            yield place.error(reason, "reshape it into smaller ones", _NEAREST)
            return


def empty_tensors(place: Place) -> Iterator[Finding]:
    """Pooling and resizing refuse them, "不支持空Tensor" (ops-nn:pooling/avg_pool3_d/docs/aclnnAvgPool2d.md,
    ops-cv:image/resize_nearest_neighbor_v2/docs/aclnnUpsampleNearest2d.md)."""
    page = _WITHOUT_EMPTY.get(place.node.operator)
    empty = next((value for value in place.node.inputs if value.type.size == 0), None)
    if page and empty is not None:
        reason = f"{place.node.operator} takes no empty tensors, but %{empty.name} is {empty.type}"
        yield place.error(reason, "leave the node out", page)


def angles(place: Place) -> Iterator[Finding]:
    """Angles beyond 1e7 on the 910B, 65504 on the 310P are inexact (ops-math:math/sin/docs/aclnnSin&aclnnInplaceSin.md,
    and Cos alike). Only constants show their values."""
    if place.node.operator not in ("sin", "cos"):
        return
    producer = place.graph.producers.get(place.node.inputs[0])
    if producer is None or producer.operator != "constant":
        return
    array = producer.attributes["value"]
    assert isinstance(array, np.ndarray)
    most = _MOST_ANGLE[place.soc.coupled]
    largest = float(np.abs(array.astype(np.float64)).max(initial=0))
    if largest > most:
        reason = f"{place.node.operator} is exact up to {most:g} on {place.soc.name}, but an angle is {largest:g}"
        yield place.warning(reason, "fold the constant, or take the angle modulo 2 pi before", _SIN)


def plain_attention(place: Place) -> Iterator[Finding]:
    """Attention that MindSpore Lite can't fuse (mindspore-lite:tools/optimizer/fusion/flash_attention_fusion.cc,
    PFACheckShape; ops-transformer:attention/prompt_flash_attention/README.md) nor our kernel take is taken apart."""
    node = place.node
    if node.operator != "attention":
        return
    lite = BUILT_IN["attention"].refusal(node, place.soc)
    own = BY_OPERATOR["attention"].refusal(node, place.soc)
    if lite is not None and own is not None:
        reason = f"attention becomes matmul, softmax, matmul: {lite}, and {own}"
        yield place.warning(reason, "use float16, heads whose width is a multiple of 16, and no mask", _FLASH)


def other_geglu(place: Place) -> Iterator[Finding]:
    """MindSpore Lite takes any product of a slice of a sum and something for GEGLU by tanh over all of the sum, the
    second half as the gate (mindspore-lite:tools/optimizer/fusion/gegluv2_fusion.cc: Add, StridedSlice, Mul)."""
    node, fix = place.node, "leave GeGluV2 out of the converter's plugin_custom_ops"
    if node.operator == "geglu" and (len(node.inputs) > 1 or _is_sum(place, node.inputs[0])):
        refusal = BUILT_IN["geglu"].refusal(node, place.soc)
        if refusal is not None and node.attributes["gate"] == "first":
            yield place.error(f"taken apart, it is what MindSpore Lite fuses, but {refusal}", fix, GEGLU_PAGE)
        elif node.attributes["approximate"] == "none":
            yield place.warning(f"taken apart, it is what MindSpore Lite fuses, but {refusal}", fix, GEGLU_PAGE)
    if node.operator == "mul" and _is_slice_of_sum(place, node.inputs[0]):
        gelu = place.graph.producers.get(node.inputs[1])
        value_first = _slice_begins(place, node.inputs[0]) == 0
        if gelu is None or gelu.operator != "gelu" or not value_first or not _is_slice_of_sum(place, gelu.inputs[0]):
            reason = f"MindSpore Lite takes the product with %{node.inputs[0].name}, a slice of a sum, for a GEGLU"
            yield place.error(reason, fix, GEGLU_PAGE)
        elif gelu.attributes["approximate"] == "none":
            reason = "MindSpore Lite computes the GELU of this GEGLU by tanh, not by erf"
            yield place.warning(reason, fix, GEGLU_PAGE)


RULES: tuple[Rule, ...] = (
    bfloat16,
    no_form,
    ai_cpu,
    narrowed_products,
    convolution_limits,
    pooling_limits,
    too_many_axes,
    resize_forms,
    empty_tensors,
    angles,
    plain_attention,
    other_geglu,
)


def _of_other_types(node: Node, taken: frozenset[DType]) -> Iterator[Value]:
    """Operands that aren't of the types; bfloat16 has a rule of its own."""
    for value in node.inputs:
        if value.type.dtype not in taken and value.type.dtype is not DType.BFLOAT16:
            yield value


def _is_slice_of_sum(place: Place, value: Value) -> bool:
    producer = place.graph.producers.get(value)
    if producer is None or producer.operator != "slice":
        return False
    return _is_sum(place, producer.inputs[0])


def _is_sum(place: Place, value: Value) -> bool:
    """A linear layer's bias doesn't count: no form writes it as an Add before a slice."""
    producer = place.graph.producers.get(value)
    return producer is not None and producer.operator == "add"


def _slice_begins(place: Place, value: Value) -> int:
    """Where on its last axis the slice that makes the value begins."""
    begin = place.graph.producers[value].attributes["begin"]
    assert isinstance(begin, tuple)
    return int(begin[-1])
