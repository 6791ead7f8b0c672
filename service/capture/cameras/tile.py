"""Small JPEG pictures of a camera for those who look on: a few a second, the newest wins, nobody is waited for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from teleopd.robots.ipc.slots import Slot
from teleopd.service.capture.cameras.pictures import Picture
from teleopd.service.capture.records import TILE_BYTES, CameraTile

WIDTH = 320
"""Widest tile [px]; a picture is made smaller, never larger."""
PERIOD_NS = 250_000_000
QUALITIES = (5, 12, 31)
"""Quantisers of FFmpeg's JPEG, best first: a picture that is too large for its record is made again, coarser."""


class Tiles:
    """Of one camera; used by the thread that reads it."""

    def __init__(self, slot: Slot[CameraTile]) -> None:
        self._slot = slot
        self._due_ns = 0

    def show(self, picture: Picture) -> None:
        """Publish the picture when it is time for one; one that cannot be made a JPEG is left out."""
        if picture.t_received_ns < self._due_ns:
            return
        self._due_ns = picture.t_received_ns + PERIOD_NS
        try:
            data = next((found for q in QUALITIES if len(found := jpeg(picture.frame, q)) <= TILE_BYTES), b"")
        except (av.error.FFmpegError, ValueError):
            return
        if data:
            padded = np.zeros(TILE_BYTES, dtype=np.uint8)
            padded[: len(data)] = np.frombuffer(data, dtype=np.uint8)
            self._slot.write(CameraTile(picture.t_ns, len(data), padded))


def jpeg(frame: Any, quality: int, width: int = WIDTH) -> bytes:
    """An `av.VideoFrame` as a JPEG at most `width` pixels wide; `quality`: the quantiser, 2 (best) to 31."""
    wide = min(width, frame.width) // 2 * 2
    high = max(2, round(frame.height * wide / frame.width) // 2 * 2)
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = wide, high, "yuvj420p", Fraction(1, 1)
    codec.qmin = codec.qmax = quality
    codec.thread_count = 1
    small = frame.reformat(width=wide, height=high, format="yuvj420p")
    small.pts = None
    return b"".join(bytes(packet) for packet in (*codec.encode(small), *codec.encode(None)))
