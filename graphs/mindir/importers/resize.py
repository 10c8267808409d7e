"""Image resizing. The output size is what the file declares."""

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
    """x, size, scales."""
    _check_scales(call)
    return _resize(call, "nearest", "asymmetric")


@primitive("UpsampleBilinear2D", "UpsampleBicubic2D")
def upsample_smooth(call: PrimitiveCall) -> Imported:
    """x, size, scales, align_corners."""
    _check_scales(call)
    mode = "bilinear" if call.operator == "UpsampleBilinear2D" else "bicubic"
    return _resize(call, mode, "align_corners" if call.boolean(3) else "half_pixel")


@primitive("AdaptiveAvgPool2D", "AdaptiveAvgPool2DExt")
def area(call: PrimitiveCall) -> Imported:
    return _resize(call, "area", "half_pixel")


def _check_scales(call: PrimitiveCall) -> None:
    """Positions follow from the sizes, and from the scales only if these give whole sizes."""
    scales = call.argument(2)
    if scales is None:
        return
    extents, sizes = call.tensor(0).type.shape[-2:], call.output_type().shape[-2:]
    if not isinstance(scales, tuple) or any(
        abs(extent * scale - size) > _SCALE_ROUNDING * size
        for extent, scale, size in zip(extents, scales, sizes, strict=True)
    ):
        raise call.error(
            f"scales {list(extents)} to {list(sizes)} by {scales}, which is rounded; pass the size instead"
        )


_SCALE_ROUNDING = 1e-6  # scales are stored as float32


def _resize(call: PrimitiveCall, mode: str, coordinates: str) -> Imported:
    height, width = call.output_type().shape[-2:]
    return call.add("resize", call.tensor(0), size=(height, width), mode=mode, coordinates=coordinates)
