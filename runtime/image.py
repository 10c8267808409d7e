"""Pictures as PNG: single ones, and sheets with captions. Needs Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from coopdraw.graphs.errors import CheckError
from coopdraw.runtime.errors import InputError

MARGIN = 8
LEAST_CELL_WIDTH = 160
LINE_SPACING = 2


def to_pictures(images: np.ndarray) -> list[Image.Image]:
    """Floats (B, 3, H, W) in [0, 1] as 8-bit RGB, rounded to nearest and clipped; raises CheckError for NaN."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise CheckError(f"pictures must have shape (B, 3, H, W), but have {images.shape}; name the right output")
    if not np.isfinite(images).all():
        raise CheckError("the picture has NaN or infinity; compile with float32 and run `coopdraw verify`")
    levels = np.rint(np.clip(images.astype(np.float64), 0.0, 1.0) * 255.0).astype(np.uint8)
    return [Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))) for picture in levels]


def read_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A picture file as floats (B, C, H, W) in [0, 1], one for the whole batch: grey for one channel, RGB for three.

    Raises InputError for a file that is no picture or has another size, and for other numbers of channels.
    """
    mode = {1: "L", 3: "RGB"}.get(shape[1])
    if mode is None:
        raise InputError(f"a picture file can't give {shape[1]} channels; give tensors with --inputs")
    try:
        with Image.open(path) as picture:
            levels = np.asarray(picture.convert(mode), np.float32) / np.float32(255)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the picture {path}: {error}; give a PNG or JPEG file") from error
    pixels = levels.reshape(*levels.shape[:2], shape[1])
    if pixels.shape[:2] != shape[2:]:
        raise InputError(f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels; give {shape[3]}x{shape[2]}")
    return np.ascontiguousarray(np.broadcast_to(pixels.transpose(2, 0, 1), shape))


def draw_sheet(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """The pictures in a near-square grid on white, each with its caption below."""
    font = ImageFont.load_default()
    cell_width = max(LEAST_CELL_WIDTH, max(picture.width for picture in pictures))
    wrapped = [_wrap(caption, font, cell_width) for caption in captions]
    line_height = round(font.getbbox("Ag")[3]) + LINE_SPACING
    picture_height = max(picture.height for picture in pictures)
    cell_height = picture_height + MARGIN // 2 + line_height * max(len(lines) for lines in wrapped)
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    size = (MARGIN + columns * (cell_width + MARGIN), MARGIN + rows * (cell_height + MARGIN))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, lines) in enumerate(zip(pictures, wrapped, strict=True)):
        left = MARGIN + index % columns * (cell_width + MARGIN)
        top = MARGIN + index // columns * (cell_height + MARGIN)
        sheet.paste(picture, (left + (cell_width - picture.width) // 2, top))
        for row, line in enumerate(lines):
            middle = left + (cell_width - font.getlength(line)) // 2
            draw.text((middle, top + picture_height + MARGIN // 2 + row * line_height), line, fill="black", font=font)
    return sheet


def _wrap(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines of whole words that fit in `width` pixels; a longer word gets a line of its own."""
    lines: list[str] = []
    for word in caption.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def write_png(file: BinaryIO, picture: Image.Image) -> None:
    """Writes a PNG without metadata; the same pixels give the same bytes."""
    picture.save(file, format="PNG", compress_level=6)
