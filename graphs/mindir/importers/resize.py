"""Image resizing. The output size is what the file declares, so scale factors need no interpretation."""

from __future__ import annotations

from coopdraw.graphs.mindir.primitives import Imported, PrimitiveCall, primitive

_MODES = {
    "ResizeNearestNeighbor": "nearest",
    "ResizeNearestNeighborV2": "nearest",
    "ResizeBilinearV2": "bilinear",
    "ResizeBicubic": "bicubic",
}


@primitive(*_MODES)
def resize(call: PrimitiveCall) -> Imported:
    """x, size, align_corners, half_pixel_centers; the first form of nearest has them as attributes."""
    aligned = call.boolean(2) if call.argument(2) is not None else bool(call.integer_attribute("align_corners", 0))
    half_pixel = call.boolean(3) if call.argument(3) is not None else False
    if call.operator == "ResizeBicubic" and half_pixel:
        raise call.error(
            "is bicubic with half-pixel centres, where MindSpore's coefficient is its own; use align_corners"
        )
    coordinates = "align_corners" if aligned else "half_pixel" if half_pixel else "asymmetric"
    return _resize(call, _MODES[call.operator], coordinates)


@primitive("UpsampleNearest2D")
def upsample_nearest(call: PrimitiveCall) -> Imported:
    return _resize(call, "nearest", "asymmetric")


@primitive("UpsampleBilinear2D", "UpsampleBicubic2D")
def upsample_smooth(call: PrimitiveCall) -> Imported:
    """x, size, scales, align_corners."""
    mode = "bilinear" if call.operator == "UpsampleBilinear2D" else "bicubic"
    return _resize(call, mode, "align_corners" if call.boolean(3) else "half_pixel")


@primitive("AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt")
def area(call: PrimitiveCall) -> Imported:
    return _resize(call, "area", "half_pixel")


def _resize(call: PrimitiveCall, mode: str, coordinates: str) -> Imported:
    height, width = call.output_type().shape[-2:]
    return call.add("resize", call.tensor(0), size=(height, width), mode=mode, coordinates=coordinates)
