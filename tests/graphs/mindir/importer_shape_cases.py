"""Cases of primitives that move elements: resizing, reshaping, slicing, splitting, tuples."""

from __future__ import annotations

import numpy as np
from graphs.mindir.importer_case import IMAGE, INDICES, Case, Expected, X, Y, case, normal
from graphs.mindir.importer_cells import Apply, ApplyToTuple
from graphs.onnx_oracle import onnx_node, run_onnx
from mindspore import mint, ops
from mindspore.ops.auto_generate import gen_ops_prim as primitives

from graphs.mindir import importer_cells as cells

functional = mint.nn.functional


def shape_and_size_cases() -> list[Case]:
    return [
        *resize_cases(),
        *shape_cases(),
        *slice_cases(),
        *view_cases(),
        *tuple_cases(),
    ]


def _resized(mode: str, coordinates: str, size: tuple[int, int], nearest_mode: str = "floor") -> Expected:
    sizes = np.array([*IMAGE.shape[:2], *size])
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": nearest_mode}

    def run(x: np.ndarray) -> list[np.ndarray]:
        node = onnx_node("Resize", ["x", "", "", "sizes"], **attributes, cubic_coeff_a=-0.75)
        return run_onnx([node], {"x": x}, constants={"sizes": sizes})

    return run


def resize_cases() -> list[Case]:
    interpolate = functional.interpolate
    return [
        case("ResizeNearestNeighbor", ops.ResizeNearestNeighbor((9, 4)), (IMAGE,), None),
        case("ResizeNearestNeighborV2", Apply(ops.interpolate, (9, 4)), (IMAGE,), None),
        case("ResizeNearestNeighborV2", Apply(ops.ResizeNearestNeighborV2(True, False), (9, 4)), (IMAGE,), None),
        case("ResizeNearestNeighborV2", Apply(ops.ResizeNearestNeighborV2(False, True), (9, 4)), (IMAGE,), None),
        case("ResizeBilinearV2", Apply(ops.interpolate, (9, 4), mode="bilinear"), (IMAGE,), None),
        case("ResizeBilinearV2", Apply(ops.ResizeBilinearV2(True, False), (9, 4)), (IMAGE,), None),
        case("ResizeBilinearV2", Apply(ops.ResizeBilinearV2(False, False), (9, 4)), (IMAGE,), None),
        # MindSpore rounds positions to 1/1024: sizes that give such positions.
        case("ResizeBicubic", Apply(ops.interpolate, (9, 11), mode="bicubic", align_corners=True), (IMAGE,), None),
        case("ResizeBicubic", Apply(ops.ResizeBicubic(False, False), (12, 24)), (IMAGE,), None),
        case("UpsampleNearest2D", Apply(interpolate, (9, 4)), (IMAGE,), _resized("nearest", "asymmetric", (9, 4))),
        case(
            "UpsampleNearest2D", Apply(interpolate, scale_factor=2.0), (IMAGE,), lambda x: x.repeat(2, 2).repeat(2, 3)
        ),
        case(
            "UpsampleNearest2D",
            Apply(interpolate, scale_factor=(1.5, 0.5)),
            (IMAGE,),
            _resized("nearest", "asymmetric", (9, 3)),
        ),
        case(
            "UpsampleBilinear2D",
            Apply(interpolate, (9, 4), mode="bilinear"),
            (IMAGE,),
            _resized("linear", "half_pixel", (9, 4)),
        ),
        case(
            "UpsampleBilinear2D",
            Apply(interpolate, None, (2.0, 3.0), "bilinear", True),
            (IMAGE,),
            _resized("linear", "align_corners", (12, 18)),
        ),
        case(
            "UpsampleBicubic2D",
            Apply(interpolate, (9, 4), mode="bicubic"),
            (IMAGE,),
            _resized("cubic", "half_pixel", (9, 4)),
        ),
        case(
            "UpsampleBicubic2D",
            Apply(interpolate, (9, 8), None, "bicubic", True),
            (IMAGE,),
            _resized("cubic", "align_corners", (9, 8)),
        ),
        case("AdaptiveAvgPool2D", Apply(ops.interpolate, (4, 5), mode="area"), (IMAGE,), None),
        case(
            "AdaptiveAvgPool2DExt",
            Apply(functional.adaptive_avg_pool2d, (3, 2)),
            (IMAGE,),
            lambda x: x.reshape(2, 8, 3, 2, 2, 3).mean((3, 5)),
        ),
    ]


def shape_cases() -> list[Case]:
    one, table = (X,), normal(5, 4)
    return [
        case("Reshape", Apply(mint.reshape, (4, -1)), one, lambda x: x.reshape(4, 6)),
        case("ExpandDims", Apply(ops.expand_dims, -2), one, lambda x: x[:, :, None]),
        case("ExpandDimsView", Apply(mint.unsqueeze, 1), one, lambda x: x[:, None]),
        case("Squeeze", Apply(mint.squeeze, -1), (X[..., None],), lambda x: x[..., 0]),
        case("Flatten", ops.Flatten(), one, lambda x: x.reshape(2, 12)),
        case("FlattenExt", Apply(mint.flatten, 0, 1), one, lambda x: x.reshape(6, 4)),
        case("Transpose", Apply(ops.transpose, (2, 0, 1)), one, lambda x: x.transpose(2, 0, 1)),
        case("TransposeView", Apply(mint.permute, (-1, 0, -2)), one, lambda x: x.transpose(2, 0, 1)),
        case("TransposeExtView", Apply(mint.transpose, -1, 0), one, lambda x: x.swapaxes(0, 2)),
        case("Concat", ApplyToTuple(mint.cat, -2), (X, Y), lambda *items: np.concatenate(items, 1)),
        case("Concat", ApplyToTuple(ops.Concat(2)), (X, Y), lambda *items: np.concatenate(items, 2)),
        case("Stack", ApplyToTuple(ops.Stack(-1)), (X, Y), lambda *items: np.stack(items, 3)),
        case("StackExt", ApplyToTuple(mint.stack, -3), (X, Y), lambda *items: np.stack(items, 1)),
        case(
            "BroadcastTo",
            Apply(ops.broadcast_to, (5, -1, 3, 4)),
            (X[:, :1],),
            lambda x: np.broadcast_to(x, (5, 2, 3, 4)),
        ),
        case(
            "BroadcastToView", Apply(mint.broadcast_to, (2, 3, 4)), (X[:, :1],), lambda x: np.broadcast_to(x, (2, 3, 4))
        ),
        case("Tile", Apply(mint.tile, (2, 1, 1, 3)), one, lambda x: np.tile(x, (2, 1, 1, 3))),
        case("Tile", Apply(ops.tile, (1, 2, 1)), one, lambda x: np.tile(x, (1, 2, 1))),
        case("Repeat", cells.repeated, one, lambda x: np.tile(x, (2, 1, 3))),
        case("RepeatInterleaveInt", Apply(mint.repeat_interleave, 3, dim=-2), one, lambda x: x.repeat(3, 1)),
        case("ConstantPadND", Apply(functional.pad, (1, 2, 0, 3)), one, lambda x: np.pad(x, ((0, 0), (0, 3), (1, 2)))),
        case(
            "ConstantPadND",
            Apply(functional.pad, (0, 1), value=7.0),
            one,
            lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1)), constant_values=7),
        ),
        case("PadV3", Apply(ops.pad, (1, 2, 0, 3)), one, None),
        case(
            "PadV3",
            Apply(ops.pad, (1, 2), value=2.5),
            one,
            lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2)), constant_values=2.5),
        ),
        case("Pad", ops.Pad(((1, 0), (0, 2), (3, 0))), one, lambda x: np.pad(x, ((1, 0), (0, 2), (3, 0)))),
        case("Gather", Apply(ops.gather, -2), (X, INDICES), lambda x, i: x[:, i]),
        case("IndexSelect", Apply(cells.index_select), (X, INDICES[0]), lambda x, i: x[:, i]),
        case("Embedding", functional.embedding, (INDICES, table), lambda i, x: x[i]),
    ]


def slice_cases() -> list[Case]:
    one = (X,)
    return [
        case("StridedSlice", cells.one_row, one, lambda x: x[:, 1]),
        case("StridedSlice", cells.last_row, one, lambda x: x[:, -1]),
        case("StridedSlice", cells.all_but_the_last, one, lambda x: x[..., :-1]),
        case("StridedSlice", cells.every_other, one, lambda x: x[:, 1::2, ::3]),
        case("StridedSlice", cells.corner, one, lambda x: x[0, 1:, 2]),
        case("StridedSlice", cells.with_new_axes, one, lambda x: x[:, :, None, 1:, None]),
        case(
            "StridedSlice",
            Apply(ops.StridedSlice(begin_mask=2, end_mask=4), (1, 2, 1), (2, 2, 2), (1, 1, 2)),
            one,
            lambda x: x[1:2, :2, 1::2],
        ),
        case("Slice", cells.narrow_method, one, lambda x: x[:, 1:3]),
        case("Slice", Apply(ops.slice, (0, 1, 2), (2, -1, 1)), one, lambda x: x[:, 1:, 2:3]),
    ]


def view_cases() -> list[Case]:
    one, seven = (X,), normal(2, 7)
    return [
        case("Split", Apply(ops.split, 2, -1), one, lambda x: (x[..., :2], x[..., 2:])),
        case("SplitTensorView", Apply(mint.split, 3, dim=-1), (seven,), lambda x: (x[:, :3], x[:, 3:6], x[:, 6:])),
        case(
            "SplitTensor", Apply(primitives.SplitTensor(), 3, -1), (seven,), lambda x: (x[:, :3], x[:, 3:6], x[:, 6:])
        ),
        case("SplitWithSizeView", Apply(mint.split, (1, 2), dim=-2), one, lambda x: (x[:, :1], x[:, 1:])),
        case("SplitWithSize", Apply(primitives.SplitWithSize(), (1, 2), 1), one, lambda x: (x[:, :1], x[:, 1:])),
        case("ChunkView", Apply(mint.chunk, 3, dim=1), (seven,), lambda x: (x[:, :3], x[:, 3:6], x[:, 6:])),
        case("Chunk", cells.three_chunks, (seven,), lambda x: (x[:, :3], x[:, 3:6], x[:, 6:])),
        case("UnstackExtView", Apply(mint.unbind, -2), one, lambda x: (x[:, 0], x[:, 1], x[:, 2])),
        case("Unstack", Apply(ops.unstack, 1), one, lambda x: (x[:, 0], x[:, 1], x[:, 2])),
        case("NarrowView", Apply(mint.narrow, 2, -3, 2), one, lambda x: x[..., 1:3]),
        case("Narrow", Apply(primitives.Narrow(), 1, 0, 2), one, lambda x: x[:, :2]),
        case("SliceExt", Apply(primitives.SliceExt(), 2, 1, -1, 2), one, lambda x: x[..., 1:-1:2]),
        case("SliceExtView", Apply(primitives.SliceExtView(), -1, 1, 4, 2), one, lambda x: x[..., 1:4:2]),
        case("SelectExtView", Apply(mint.select, 1, -1), one, lambda x: x[:, -1]),
    ]


def tuple_cases() -> list[Case]:
    one = (X,)
    return [
        case("MakeTuple", cells.product_and_sum, (X, Y), lambda x, y: (x * y, x + y)),
        case("make_list", cells.product_and_sum_as_list, (X, Y), lambda x, y: (x * y, x + y)),
        case("TupleGetItem", cells.second_of_two, one, lambda x: x[:, 1:]),
        case("Identity", ops.Identity(), one, lambda x: x),
        case("Clone", mint.clone, one, lambda x: x),
        case("Contiguous", cells.contiguous, one, lambda x: x),
    ]
