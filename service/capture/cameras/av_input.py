"""Pictures of network cameras (RTSP) and USB cameras (V4L2), both read by FFmpeg through PyAV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av

from teleopd.service.capture.cameras.pictures import CameraClock, Picture
from teleopd.service.capture.cameras.spec import CameraError, CameraSpec

OPEN_S, READ_S = 5.0, 2.0
"""A camera that takes longer is given up and opened again."""


class AvInput:
    """One such camera. Times: a USB camera's kernel stamps, an RTSP camera's RTP stamps, mapped to this host."""

    def __init__(self, spec: CameraSpec, *_drawn: object) -> None:
        """
        Raises:
            CameraError: it cannot be opened, or sends no video.
        """
        self._spec = spec
        self.received = self.damaged = 0
        self._clock = CameraClock()
        target, kind, options = _what(spec)
        try:
            self._container: Any = av.open(target, format=kind, options=options, timeout=(OPEN_S, READ_S))
        except (OSError, ValueError) as error:  # every error of FFmpeg is one of them
            raise CameraError(f"camera '{spec.name}': cannot open {spec.shown}: {_words(error)}") from None
        if not self._container.streams.video:
            self._container.close()
            raise CameraError(f"camera '{spec.name}': {spec.shown} sends no video")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "NONE"  # threads of a decoder hold pictures back
        self._frames = self._decoded()

    def read(self) -> Picture | None:
        """See `PictureSource`."""
        try:
            return next(self._frames)
        except StopIteration:
            raise CameraError(f"camera '{self._spec.name}': {self._spec.shown} ended") from None
        except (OSError, ValueError) as error:
            raise CameraError(f"camera '{self._spec.name}': {self._spec.shown}: {_words(error)}") from None

    def close(self) -> None:
        """See `PictureSource`."""
        self._container.close()

    def _decoded(self) -> Iterator[Picture]:
        for packet in self._container.demux(self._stream):
            received_ns = time.monotonic_ns()
            if packet.size == 0:
                continue
            self.received += 1
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1
                continue
            for frame in frames:
                t_ns = received_ns
                if frame.pts is not None and frame.time_base is not None:
                    t_ns = self._clock.map(int(frame.pts * frame.time_base * 1_000_000_000), received_ns)
                yield Picture(t_ns, received_ns, frame)


def _what(spec: CameraSpec) -> tuple[str, str | None, dict[str, str]]:
    """File, format and options for FFmpeg."""
    if spec.scheme == "v4l2":
        options = {}
        if spec.size:
            options["video_size"] = f"{spec.size[0]}x{spec.size[1]}"
        if spec.fps:
            options["framerate"] = f"{spec.fps:g}"
        if spec.format:
            options["input_format"] = spec.format
        return urlsplit(spec.url).path, "v4l2", options
    return spec.url, "rtsp", {"rtsp_transport": "tcp", "fflags": "nobuffer", "flags": "low_delay"}


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
