"""Pictures <-> H.264 as Foxglove's `CompressedVideo` wants it: Annex B, no B frames, key frames that stand alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.frame import PictureType

KEY_EVERY = 30
"""Pictures between key frames: what one lost picture may cost, and what a player has to decode to seek."""
CRF = "23"
"""Constant quality, libx264's own default."""


class Coded(NamedTuple):
    """One picture, compressed."""

    data: bytes
    key: bool
    """It can be decoded without those before it."""
    size: tuple[int, int]
    """Width and height [px]."""


class Encoder:
    """Compresses the pictures of one camera. A picture of another size begins a new stream with a key frame."""

    def __init__(self) -> None:
        self._codec: Any = None
        self._size = (0, 0)
        self._count = 0

    def encode(self, frame: Any, *, key: bool) -> Coded:
        """Compress an `av.VideoFrame`; `key`: as a key frame. Odd sizes lose a row or a column."""
        size = frame.width - frame.width % 2, frame.height - frame.height % 2
        if size != self._size:
            self._open(size)
        picture = frame.reformat(width=size[0], height=size[1], format="yuv420p")
        picture.pts, picture.time_base = self._count, Fraction(1, KEY_EVERY)
        picture.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        packets = self._codec.encode(picture)
        return Coded(b"".join(bytes(p) for p in packets), any(p.is_keyframe for p in packets), size)

    def _open(self, size: tuple[int, int]) -> None:
        codec: Any = av.CodecContext.create("libx264", "w")
        codec.width, codec.height = size
        codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, KEY_EVERY), KEY_EVERY
        codec.gop_size, codec.max_b_frames, codec.thread_count = KEY_EVERY, 0, 1
        codec.options = {
            "preset": "veryfast", "tune": "zerolatency", "crf": CRF, "forced-idr": "1",
            "x264-params": "repeat-headers=1",
        }  # fmt: skip
        self._codec, self._size = codec, size


def decoded(coded: Iterable[bytes]) -> Iterator[Any]:
    """An `av.VideoFrame` for each picture of one stream, in order; None for one that cannot be decoded."""
    codec: Any = av.CodecContext.create("h264", "r")
    codec.thread_type = "NONE"
    codec.flags |= av.codec.context.Flags.low_delay
    for data in coded:
        try:
            frames = codec.decode(av.Packet(data))
        except (OSError, ValueError):
            frames = []
        yield frames[-1] if frames else None
