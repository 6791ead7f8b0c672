"""A camera's pictures on the grid, as the MP4 of one episode, and how such films are put one behind the other.

Every frame shows the picture taken nearest to its instant; a camera slower than the grid shows one twice. All films of
a data set are compressed alike: H.264, yuv420p, a key frame every second frame, as LeRobot's loaders seek in them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from teleopd.robots.model import IntArray
from teleopd.service.capture.cameras.h264 import decoded
from teleopd.service.capture.export.errors import EpisodeRefused, ExportError
from teleopd.service.capture.export.lerobot_stats import stats_of
from teleopd.service.capture.video import Video

if TYPE_CHECKING:
    from teleopd.service.capture.export.frames import Frames

CODEC, PIXELS = "libx264", "yuv420p"
OPTIONS = {"preset": "veryfast", "crf": "23"}
GROUP = 2
"""Frames from key frame to key frame, as LeRobot's own films have."""
SAMPLES, SIDE = 100, 64
"""So many frames of an episode, thinned to so many pixels a side, give its statistics."""


@dataclass(frozen=True, slots=True)
class Film:
    """One camera in one episode of a data set."""

    mp4: bytes
    size: tuple[int, int]
    """Width and height [px]."""
    stats: dict[str, Any]
    """Of red, green and blue in 0..1, each (3,); count (1,)."""


def film(video: Video, taken: IntArray, rate_hz: float) -> Film:
    """The pictures of these indices, (N,) rising, one for each frame.

    Raises:
        EpisodeRefused: a picture cannot be decoded.
    """
    out = io.BytesIO()
    thinned: list[Any] = []
    every = max(1, len(taken) // SAMPLES)
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream(CODEC, rate=Fraction(rate_hz).limit_denominator(1000), options=OPTIONS)
        stream.width, stream.height = video.size
        stream.pix_fmt, stream.gop_size, stream.max_b_frames, stream.thread_count = PIXELS, GROUP, 0, 1
        number = 0
        for index, frame in enumerate(decoded(video.data[: int(taken[-1]) + 1])):
            count = int(np.count_nonzero(taken == index))
            if not count:
                continue
            if frame is None:
                raise EpisodeRefused(f"picture {index} of a camera cannot be decoded")
            for _ in range(count):
                if number % every == 0:
                    thinned.append(_thin(frame))
                picture = frame.reformat(format=PIXELS)
                picture.pts, picture.time_base = number, 1 / Fraction(rate_hz).limit_denominator(1000)
                picture.pict_type = 0
                container.mux(stream.encode(picture))
                number += 1
        container.mux(stream.encode(None))
    return Film(out.getvalue(), video.size, stats_of(np.concatenate(thinned)) | {"count": np.array([len(thinned)])})


def _thin(frame: Any) -> Any:
    """(pixels, 3) in 0..1, every so many pixels."""
    pixels = frame.to_ndarray(format="rgb24")
    step = max(1, max(pixels.shape[:2]) // SIDE)
    return pixels[::step, ::step].reshape(-1, 3) / 255.0


class Reel:
    """The films of one camera, one behind the other in MP4 files of limited size, without compressing them again."""

    def __init__(self, root: Path, pattern: str, files_a_chunk: int, file_mb: float) -> None:
        """`pattern`: of a file's path, with chunk_index and file_index."""
        self._root, self._pattern, self._files_a_chunk = root, pattern, files_a_chunk
        self._file_bytes = file_mb * 1e6
        self._out: Any = None
        self._stream: Any = None
        self._file = -1
        self._frames = self._bytes = 0
        self.size, self._first = (0, 0), ""

    def add(self, one: Film, frames: Frames, rate_hz: float) -> dict[str, Any]:
        """Append; where it lies, as LeRobot's columns chunk_index, file_index, from_timestamp and to_timestamp [s].

        Raises:
            ExportError: its pictures have another size than those before.
        """
        if self.size not in ((0, 0), one.size):
            raise ExportError(
                f"pictures of {self._first} have {self.size[0]}x{self.size[1]}, those of {frames.name} "
                f"{one.size[0]}x{one.size[1]}: export each size by itself, or with --cameras none"
            )
        self.size, self._first = one.size, self._first or frames.name
        source: Any = av.open(io.BytesIO(one.mp4))
        with source:
            given = source.streams.video[0]
            if self._out is None or self._bytes > self._file_bytes:
                self._next_file(given)
            shift = round(Fraction(self._frames) / Fraction(rate_hz).limit_denominator(1000) / given.time_base)
            for packet in source.demux(given):
                if packet.dts is None:
                    continue
                packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, self._stream
                self._out.mux(packet)
        start = self._frames
        self._frames += frames.n
        self._bytes += len(one.mp4)
        return {
            "chunk_index": self._file // self._files_a_chunk, "file_index": self._file % self._files_a_chunk,
            "from_timestamp": start / rate_hz, "to_timestamp": self._frames / rate_hz,
        }  # fmt: skip

    def _next_file(self, given: Any) -> None:
        self.close()
        self._file += 1
        chunk, file = divmod(self._file, self._files_a_chunk)
        path = self._root / self._pattern.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._out = av.open(str(path), "w")
        self._stream = self._out.add_stream_from_template(given)
        self._frames = self._bytes = 0

    def close(self) -> None:
        """Finish the open file; safe to call twice."""
        if self._out is not None:
            self._out.close()
        self._out = None


def count_frames(path: Path) -> int:
    """Frames in a film.

    Raises:
        ExportError: it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            return sum(packet.dts is not None for packet in container.demux(container.streams.video[0]))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path.name} cannot be read: {error}") from None


def feature(size: tuple[int, int], rate_hz: float) -> dict[str, Any]:
    """A camera in `features` of info.json."""
    return {
        "dtype": "video", "shape": [size[1], size[0], 3], "names": ["height", "width", "channels"],
        "info": {
            "video.height": size[1], "video.width": size[0], "video.codec": "h264", "video.pix_fmt": PIXELS,
            "video.is_depth_map": False, "video.fps": int(rate_hz), "video.channels": 3, "has_audio": False,
        },
    }  # fmt: skip


def keys(cameras: Sequence[str]) -> dict[str, str]:
    """Camera -> the feature's name."""
    return {camera: f"observation.images.{camera}" for camera in cameras}
