from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.slots import Slot
from teleopd.service.capture.cameras import tile
from teleopd.service.capture.cameras.pictures import Picture
from teleopd.service.capture.cameras.tile import PERIOD_NS, Tiles, jpeg
from teleopd.service.capture.records import CAMERA_TILE_FIELDS, TILE_BYTES, CameraTile


def frame(width: int, height: int, rgb: tuple[int, int, int] = (200, 40, 40)) -> av.VideoFrame:
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = rgb
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


@pytest.fixture
def slot(tmp_path: Path) -> Slot[CameraTile]:
    return Slot.create(tmp_path / "tile", Codec(CameraTile, CAMERA_TILE_FIELDS))


def opened(found: CameraTile) -> Image.Image:
    return Image.open(io.BytesIO(found.data[: found.size].tobytes()))


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (320, 240)), ((1920, 1080), (320, 180)), ((160, 120), (160, 120))]
)
def test_a_tile_is_a_jpeg_of_the_same_shape_and_colour_and_no_wider_than_it_may_be(size, expected):
    found = Image.open(io.BytesIO(jpeg(frame(*size), 5)))
    assert (found.format, found.size) == ("JPEG", expected)
    assert np.allclose(np.asarray(found).reshape(-1, 3).mean(axis=0), (200, 40, 40), atol=12)


def test_a_few_a_second_are_published_with_the_time_they_were_taken(slot: Slot[CameraTile]):
    tiles = Tiles(slot)
    tiles.show(Picture(7, 1000, frame(64, 48)))
    tiles.show(Picture(8, 1000 + PERIOD_NS - 1, frame(64, 48)))
    assert slot.read().t_ns == 7
    tiles.show(Picture(9, 1000 + PERIOD_NS, frame(64, 48, (0, 0, 200))))
    assert slot.read().t_ns == 9 and np.asarray(opened(slot.read()))[..., 2].mean() > 150


def test_a_picture_too_large_for_its_record_is_made_coarser(slot: Slot[CameraTile], monkeypatch: pytest.MonkeyPatch):
    tried: list[int] = []

    def large(_frame: object, quality: int) -> bytes:
        tried.append(quality)
        return b"x" * (TILE_BYTES + 1 if quality < tile.QUALITIES[-1] else 10)

    monkeypatch.setattr(tile, "jpeg", large)
    Tiles(slot).show(Picture(7, 1000, frame(64, 48)))
    assert tried == list(tile.QUALITIES) and slot.read().size == 10


def test_noise_fits_its_record(slot: Slot[CameraTile]):
    noise = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
    Tiles(slot).show(Picture(7, 1000, av.VideoFrame.from_ndarray(noise, format="rgb24")))
    assert opened(slot.read()).size == (320, 240)


def test_a_picture_that_cannot_be_made_costs_nothing_else(slot: Slot[CameraTile], monkeypatch: pytest.MonkeyPatch):
    def fails(_frame: object, _quality: int) -> bytes:
        raise ValueError("no")

    monkeypatch.setattr(tile, "jpeg", fails)
    Tiles(slot).show(Picture(7, 1000, frame(64, 48)))
    assert slot.read() is None
