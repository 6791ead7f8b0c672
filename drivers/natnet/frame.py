"""FRAMEOFDATA, NatNet 2.5 to 4.2: bytes -> `Frame`. Pure.

Sections in a fixed order, each `int32 count` and, from 4.1, `int32 size in bytes`. Layout: OptiTrack's published
PacketClient; 2.5 to 3.0 agree with recorded traffic.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from teleopd.drivers.natnet.cursor import Cursor
from teleopd.drivers.natnet.messages import (
    BODY,
    MARKER,
    TRACKED,
    Analog,
    AssetData,
    BodyMarkers,
    Frame,
    MarkerSet,
    Records,
    SkeletonData,
    Version,
)
from teleopd.drivers.source import ProtocolError

BUDGET = 800
"""Items walked one by one in a frame (marker sets, skeletons, channels, bodies before 3.0): at most 3 ms."""

_BODY_26 = struct.Struct("<i3f4f")
_BODY_30 = struct.Struct("<i3f4ffh")
_MARKER_26 = np.dtype([("id", "<i4"), ("pos", "<f4", 3), ("size", "<f4"), ("params", "<i2")])
_MARKER_23 = np.dtype([("id", "<i4"), ("pos", "<f4", 3), ("size", "<f4")])
_I32 = np.dtype("<i4")
_F32 = struct.Struct("<f")
_I16 = struct.Struct("<h")
_TIMECODE = struct.Struct("<II")
_F64 = struct.Struct("<d")
_OLD_ENDS = (0, 2, 4, 6)
"""Params (i16) and end mark (i32) are left out by some streams."""
_SUFFIX_30 = struct.Struct("<IIdQQQhi")
_SUFFIX_41 = struct.Struct("<IIdQQQIIhi")
_NO_BODIES = np.empty(0, BODY)
_NO_MARKERS = np.empty(0, MARKER)

MAX_STAMP_S = 1e9
"""Longest believable run of Motive [s]; NaN and infinity are none."""
T = TypeVar("T")


def read_frame(data: bytes, at: int, version: Version) -> Frame:
    """The frame in `data` from byte `at` on, in the bitstream of `version`.

    Raises:
        ProtocolError: truncated, wrong_count, too_many, bad_string, section_size, trailing, implausible_stamp.
    """
    cursor = Cursor(data, at, BUDGET)
    sized = version >= (4, 1)
    modern = version >= (3, 0)
    number = cursor.i32()
    sets = _section(cursor, sized, 5, "marker sets", _marker_set)
    unlabelled = _unlabelled(cursor, sized)
    extras: list[BodyMarkers] = []
    if modern:
        bodies = _records(cursor, sized, "rigid bodies", BODY)
    else:
        bodies = _old_bodies(cursor, version, extras)
    skeletons = _section(cursor, sized, 8, "skeletons", _skeleton if modern else lambda c: _old_skeleton(c, version))
    assets = _section(cursor, True, 12, "assets", _asset) if sized else ()
    markers = _markers(cursor, sized, version)
    plates = _section(cursor, sized, 8, "force plates", _analog) if version >= (2, 9) else ()
    devices = _section(cursor, sized, 8, "devices", _analog) if version >= (2, 11) else ()
    tail = _suffix(cursor, sized) if modern else _old_suffix(cursor, version)
    return Frame(
        number, sets, unlabelled, bodies, tuple(extras), skeletons, assets, markers, plates, devices, *tail
    )  # fmt: skip


def _section(cursor: Cursor, sized: bool, smallest: int, what: str, read: Callable[[Cursor], T]) -> tuple[T, ...]:
    """A count, from 4.1 a size, and the items."""
    count = cursor.count(smallest, what)
    outer = cursor.enter(what) if sized else cursor.limit
    items = tuple([read(cursor) for _ in range(count)]) if count else ()
    if sized:
        cursor.leave(outer)
    return items


def _records(cursor: Cursor, sized: bool, what: str, layout: np.dtype[np.void]) -> Records:
    count = cursor.count(layout.itemsize, what, walked=False)
    outer = cursor.enter(what) if sized else cursor.limit
    items = cursor.records(layout, count)
    if sized:
        cursor.leave(outer)
    return items


def _unlabelled(cursor: Cursor, sized: bool) -> npt.NDArray[np.float32]:
    count = cursor.count(12, "unlabelled markers", walked=False)
    outer = cursor.enter("unlabelled markers") if sized else cursor.limit
    points = cursor.floats(3 * count).reshape(count, 3)
    if sized:
        cursor.leave(outer)
    return points


def _marker_set(cursor: Cursor) -> MarkerSet:
    return MarkerSet(cursor.text(), cursor.points("markers"))


def _skeleton(cursor: Cursor) -> SkeletonData:
    return SkeletonData(cursor.i32(), cursor.records(BODY, cursor.count(BODY.itemsize, "bones", walked=False)))


def _old_skeleton(cursor: Cursor, version: Version) -> SkeletonData:
    return SkeletonData(cursor.i32(), _old_bodies(cursor, version, []))


def _old_bodies(cursor: Cursor, version: Version, extras: list[BodyMarkers]) -> Records:
    """Bodies before 3.0: each followed by its markers, so that none has a fixed size."""
    count = cursor.count(_BODY_26.size + 8, "rigid bodies")
    cursor.spend(count, "rigid bodies")  # each costs as much as two other items
    if not count:
        return _NO_BODIES
    packed = bytearray(count * BODY.itemsize)
    with_params = version >= (2, 6)
    for k in range(count):
        pose = cursor.take(_BODY_26)
        markers = cursor.count(20, "markers", walked=False)
        points = cursor.floats(3 * markers).reshape(markers, 3)
        ids = cursor.floats(markers).view(np.int32)
        extras.append(BodyMarkers(points, ids, cursor.floats(markers)))
        (error,) = cursor.take(_F32)
        params = cursor.take(_I16)[0] if with_params else TRACKED
        _BODY_30.pack_into(packed, k * BODY.itemsize, *pose, error, params)
    return np.frombuffer(bytes(packed), BODY)


def _asset(cursor: Cursor) -> AssetData:
    ident = cursor.i32()
    bodies = cursor.records(BODY, cursor.count(BODY.itemsize, "asset bodies", walked=False))
    return AssetData(ident, bodies, cursor.records(MARKER, cursor.count(MARKER.itemsize, "markers", walked=False)))


def _markers(cursor: Cursor, sized: bool, version: Version) -> Records:
    if version >= (3, 0):
        return _records(cursor, sized, "labelled markers", MARKER)
    if version < (2, 3):
        return _NO_MARKERS
    layout = _MARKER_26 if version >= (2, 6) else _MARKER_23
    raw = _records(cursor, False, "labelled markers", layout)
    markers = np.zeros(len(raw), MARKER)
    for name in layout.names or ():
        markers[name] = raw[name]
    return markers


def _analog(cursor: Cursor) -> Analog:
    ident = cursor.i32()
    channels = cursor.count(4, "channels")
    return Analog(ident, tuple([cursor.floats(cursor.count(4, "samples", walked=False)) for _ in range(channels)]))


def _suffix(cursor: Cursor, sized: bool) -> tuple[float, int, int, float, int, int, int, int, int, int]:
    """From 3.0: time code, timestamp, three server stamps, from 4.1 the precision stamp, params, end mark."""
    code: float
    if sized:
        code, sub, stamp, mid, received, sent, seconds, fraction, params, _end = cursor.take(_SUFFIX_41)
    else:
        code, sub, stamp, mid, received, sent, params, _end = cursor.take(_SUFFIX_30)
        seconds = fraction = 0
    if cursor.left:
        raise _trailing(cursor.left)
    _check_stamp(stamp)
    return (
        0.0, int(code), int(sub), float(stamp), int(mid), int(received), int(sent), int(seconds), int(fraction),
        int(params),
    )  # fmt: skip


def _old_suffix(cursor: Cursor, version: Version) -> tuple[float, int, int, float, int, int, int, int, int, int]:
    """Before 3.0: latency, time code, timestamp, params, end mark; streams that leave out the last two are read."""
    (latency,) = cursor.take(_F32)
    code, sub = cursor.take(_TIMECODE)
    (stamp,) = cursor.take(_F64 if version >= (2, 7) else _F32)
    if cursor.left not in _OLD_ENDS:
        raise _trailing(cursor.left)
    _check_stamp(stamp)
    params = cursor.take(_I16)[0] if cursor.left in (2, 6) else 0
    return float(latency), int(code), int(sub), float(stamp), 0, 0, 0, 0, 0, int(params)


def _check_stamp(stamp_s: float) -> None:
    if not abs(stamp_s) <= MAX_STAMP_S:
        raise ProtocolError("implausible_stamp", f"the frame's timestamp is {stamp_s:.3g} s since Motive started")


def _trailing(left: int) -> ProtocolError:
    return ProtocolError(
        "trailing", f"{left} B follow the end of the frame; its bitstream is not what the server declared"
    )
