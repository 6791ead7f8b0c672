"""Scale datagrams (type 13) of an MVN stream: the character in the T-pose. Pure.

Layout: "MVN real-time network streaming protocol specification", revision N, section 2.6.2.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.source import ProtocolError

MAX_STRING = 256
"""Longest segment or point name read [B]."""

_COUNT = struct.Struct(">i")
_POINT = struct.Struct(">3f")
_POINT_HEAD = struct.Struct(">HH")


class NullPose(NamedTuple):
    """Segment origins of the character in the T-pose, from a scale datagram; empty in one that only carries points."""

    names: tuple[str, ...]
    pos_w: Array
    """[m], (n, 3)."""
    points: int
    """Landmarks the datagram also defines (not kept)."""


def read_null_pose(payload: bytes | memoryview) -> NullPose:
    """Segment names and origins of a type 13 datagram.

    Raises:
        ProtocolError: truncated, wrong_count, non_finite.
    """
    data, at = bytes(payload), 0
    segments, at = _count(data, at, _COUNT.size + _POINT.size, "segments")
    names: list[str] = []
    points: list[tuple[float, ...]] = []
    for _ in range(segments):
        name, at = _string(data, at)
        _need(data, at, _POINT.size)
        names.append(name)
        points.append(_POINT.unpack_from(data, at))
        at += _POINT.size
    landmarks = _skip_landmarks(data, at) if at < len(data) else 0
    pos = np.array(points, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(pos).all():
        raise ProtocolError("non_finite", "a null-pose position is NaN or infinite")
    return NullPose(tuple(names), pos, landmarks)


def _skip_landmarks(data: bytes, at: int) -> int:
    """Check the point definitions; nothing here needs their values."""
    count, at = _count(data, at, _POINT_HEAD.size + _COUNT.size + 4 + _POINT.size, "points")
    for _ in range(count):
        _, at = _string(data, at + _POINT_HEAD.size)
        _need(data, at, 4 + _POINT.size)
        at += 4 + _POINT.size
    return count


def _need(data: bytes, at: int, size: int) -> None:
    if at + size > len(data):
        raise ProtocolError("truncated", f"scale datagram ends at byte {len(data)}, {at + size} are needed")


def _count(data: bytes, at: int, smallest: int, what: str) -> tuple[int, int]:
    _need(data, at, _COUNT.size)
    (count,) = _COUNT.unpack_from(data, at)
    if not 0 <= count <= (len(data) - at - _COUNT.size) // smallest:
        raise ProtocolError(
            "wrong_count", f"scale datagram declares {count} {what}, more than its {len(data)} B can hold"
        )
    return count, at + _COUNT.size


def _string(data: bytes, at: int) -> tuple[str, int]:
    _need(data, at, _COUNT.size)
    (size,) = _COUNT.unpack_from(data, at)
    if not 0 <= size <= MAX_STRING:
        raise ProtocolError(
            "wrong_count", f"scale datagram declares a name of {size} B; 0 to {MAX_STRING} are possible"
        )
    at += _COUNT.size
    _need(data, at, size)
    return data[at : at + size].decode("utf-8", "replace"), at + size
