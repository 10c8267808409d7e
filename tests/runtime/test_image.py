"""Pictures keep their pixels through PNG, and the same pixels give the same bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coopdraw.graphs.errors import CheckError
from coopdraw.runtime.errors import InputError
from coopdraw.runtime.image import draw_sheet, read_picture, to_pictures, write_png


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    write_png(file, picture)
    return file.getvalue()


def test_pixels() -> None:
    images = np.zeros((2, 3, 2, 4), np.float32)
    images[0, 0, 0, 1] = 1.0
    images[0, 1, 1, 3] = 0.5
    images[0, 2, 0, 0] = 7.0
    images[0, 2, 0, 1] = -7.0
    first, second = to_pictures(images)
    assert first.size == (4, 2)
    decoded = np.asarray(Image.open(io.BytesIO(png(first))))
    assert decoded.shape == (2, 4, 3)
    assert decoded[0, 1].tolist() == [255, 0, 0]
    assert decoded[1, 3].tolist() == [0, 128, 0]
    assert decoded[0, 0].tolist() == [0, 0, 255]
    assert not np.asarray(second).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pictures_of_nothing(value: float) -> None:
    with pytest.raises(CheckError, match="NaN"):
        to_pictures(np.full((1, 3, 2, 2), value, np.float32))


def test_other_tensors_are_no_pictures() -> None:
    with pytest.raises(CheckError, match="shape"):
        to_pictures(np.zeros((1, 4, 2, 2), np.float32))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_sheet_has_every_picture(count: int) -> None:
    images = np.random.default_rng(0).random((count, 3, 64, 48)).astype(np.float32)
    pictures = to_pictures(images)
    sheet = np.asarray(draw_sheet(pictures, [f"red ring {index}" for index in range(count)]))
    flat = sheet.tobytes()
    for picture in pictures:
        assert np.asarray(picture)[0].tobytes() in flat


def test_captions_are_drawn_and_wrapped() -> None:
    pictures = to_pictures(np.ones((1, 3, 32, 32), np.float32))
    blank = np.asarray(draw_sheet(pictures, [""]))
    short = np.asarray(draw_sheet(pictures, ["red ring"]))
    long = np.asarray(draw_sheet(pictures, ["red ring striped blue " * 8]))
    assert blank.min() == 255
    assert short.min() < 128
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]


def test_same_pixels_same_bytes() -> None:
    pictures = to_pictures(np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32))
    assert png(draw_sheet(pictures, ["a", "b"])) == png(draw_sheet(pictures, ["a", "b"]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_read_with_the_channels_that_are_asked_for(mode: str, channels: int, tmp_path: Path) -> None:
    black_and_white = np.asarray([[0, 255, 0], [255, 255, 0]], np.uint8)
    Image.fromarray(black_and_white).convert(mode).save(tmp_path / "x.png")
    found = read_picture(tmp_path / "x.png", (2, channels, 2, 3))
    wanted = np.broadcast_to((black_and_white / 255).astype(np.float32), (2, channels, 2, 3))
    np.testing.assert_array_equal(found, wanted, strict=True)


def test_pictures_have_one_or_three_channels(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="can't give 4 channels; give tensors"):
        read_picture(tmp_path / "x.png", (1, 4, 2, 3))
    with pytest.raises(InputError, match="has 3x2 pixels; give 2x3"):
        read_picture(tmp_path / "x.png", (1, 1, 3, 2))
