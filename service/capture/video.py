"""A camera's pictures in an episode: the channel, its messages in protobuf (`foxglove.CompressedVideo`), read back.

Field numbers as in Foxglove's published schema: timestamp 1, frame_id 2, data 3, format 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from teleopd.service.capture.protobuf import LayoutError, field_bytes

SCHEMA_NAME = "foxglove.CompressedVideo"
CAMERA = "camera/"
"""Before the camera's name, in `Episode.dropped`, in counts and, behind a slash, in topics."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_STRING, _BYTES, _INT64, _INT32, _MESSAGE = 9, 12, 3, 5, 11
"""Types of `FieldDescriptorProto`."""


@dataclass(frozen=True, slots=True)
class Video:
    """The pictures of one camera in an episode: H.264 in Annex B, in the order of decoding, which is that of time."""

    t_ns: npt.NDArray[np.int64]
    """When each was taken, on the recording host's monotonic clock [ns], (n,)."""
    data: tuple[bytes, ...]
    """The first begins with a key frame, unless the file is damaged."""
    size: tuple[int, int]
    """Width and height [px]."""

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.data)


def topic_of(camera: str) -> str:
    """/camera/head"""
    return f"/{CAMERA}{camera}"


def channel_metadata(camera: str, size: tuple[int, int]) -> dict[str, str]:
    """What the channel's record says."""
    return {"stream": f"{CAMERA}{camera}", "width": str(size[0]), "height": str(size[1])}


def size_of(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Width and height in a channel's metadata; 0, 0 where they are not there."""
    try:
        return int(metadata["width"]), int(metadata["height"])
    except (KeyError, ValueError):
        return 0, 0


def message(t_wall_ns: int, camera: str, data: bytes) -> bytes:
    """One picture as a message."""
    stamp = field_bytes(1, t_wall_ns // 1_000_000_000) + field_bytes(2, t_wall_ns % 1_000_000_000)
    return field_bytes(1, stamp) + field_bytes(2, camera.encode()) + field_bytes(3, data) + field_bytes(4, b"h264")


def picture_of(data: bytes) -> bytes:
    """The compressed picture in a message.

    Raises:
        LayoutError: it is none, or of another format than h264.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        if key & 7 == _VARINT:
            _, at = _read_varint(data, at)
        elif key & 7 in (_FIXED64, _FIXED32):
            at += 8 if key & 7 == _FIXED64 else 4
        elif key & 7 == _LENGTH:
            length, at = _read_varint(data, at)
            found[key >> 3] = data[at : at + length]
            at += length
        else:
            raise LayoutError("a camera's message is damaged")
    if at != len(data) or found.get(4) != b"h264":
        raise LayoutError("a camera's message is damaged or of another format than h264")
    return found.get(3, b"")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise LayoutError("a camera's message is damaged")


def _field(name: str, number: int, kind: int, type_name: str = "") -> bytes:
    made = field_bytes(1, name.encode()) + field_bytes(3, number) + field_bytes(4, 1) + field_bytes(5, kind)
    return field_bytes(2, made + (field_bytes(6, type_name.encode()) if type_name else b""))


def schema() -> bytes:
    """A `FileDescriptorSet` with the message and the time it holds."""
    stamp = field_bytes(1, b"Timestamp") + _field("seconds", 1, _INT64) + _field("nanos", 2, _INT32)
    time = field_bytes(1, b"google/protobuf/timestamp.proto") + field_bytes(2, b"google.protobuf")
    time += field_bytes(4, stamp) + field_bytes(12, b"proto3")
    video = field_bytes(1, b"CompressedVideo") + _field("timestamp", 1, _MESSAGE, ".google.protobuf.Timestamp")
    video += _field("frame_id", 2, _STRING) + _field("data", 3, _BYTES) + _field("format", 4, _STRING)
    file = field_bytes(1, b"foxglove/CompressedVideo.proto") + field_bytes(2, b"foxglove")
    file += field_bytes(3, b"google/protobuf/timestamp.proto") + field_bytes(4, video) + field_bytes(12, b"proto3")
    return field_bytes(1, time) + field_bytes(1, file)

