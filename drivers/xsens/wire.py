"""Xsens MVN network stream: bytes <-> values. Pure; no sockets, no clock.

Big-endian UDP datagrams: a 24-byte header (`MXTP` + two digits of message type ...) and a payload. Type 02 carries
segment id, position and quaternion per segment: Z-up, right-handed, wxyz, and **metres** (the specification's common
paragraph says cm; Xsens' own code divides type 01 only). Layout: "MVN real-time network streaming protocol
specification", revision N, sections 2.4 to 2.7.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.source import ProtocolError

DEFAULT_PORT = 9763
HEADER_SIZE = 24
MAX_DATAGRAM = 8192
"""Largest datagram read [B]: 67 segments of the longest type (44 B) are 2972 B; scale datagrams stay below the MTU."""
SEGMENTS = len(MVN_SEGMENTS)
MAX_ITEMS = 67
"""23 body segments + 4 props + 40 finger segments."""
MAX_STRING = 256
"""Longest segment or point name read [B]."""
NORM_TOLERANCE = 0.01
"""MVN sends unit quaternions; float32 leaves 1e-7. Beyond this the bytes are not an orientation."""
REACH_M = (0.2, 3.0)
"""Distance of the farthest body segment from the pelvis [m]: below, no person; above, not metres."""
EXTENT_M = 10_000.0
"""Farthest believable coordinate [m]."""

POSE_EULER, POSE, POSE_POINTS, POSE_UNITY, META, SCALE = 1, 2, 3, 5, 12, 13
JOINT_ANGLES, LINEAR, ANGULAR, TRACKERS, CENTRE_OF_MASS, TIME_CODE = 20, 21, 22, 23, 24, 25
OTHER_POSES = {POSE_EULER: "Euler", 3: "points", POSE_UNITY: "Unity3D"}
"""Pose types in other conventions; a user who ticked only these must be told to tick type 02."""

_HEADER = struct.Struct(">4s2sIBBIBBBBHH")
_ITEM = np.dtype([("id", ">i4"), ("pos", ">f4", 3), ("quat", ">f4", 4)])
_FLOAT = np.dtype(">f4")
_FLOATS = _ITEM.itemsize // _FLOAT.itemsize
_BODY_IDS = np.arange(1, SEGMENTS + 1, dtype=">i4").tobytes()
_COUNT = struct.Struct(">i")
_POINT = struct.Struct(">3f")
_POINT_HEAD = struct.Struct(">HH")


class Header(NamedTuple):
    """The 24 bytes before every payload."""

    kind: int
    """Message type, 0 to 99."""
    sample: int
    """Sample counter, u32, +1 per sample; the sender may skip."""
    part: int
    """Which datagram of this sample, 0 to 127."""
    last: bool
    """The sample ends with this datagram."""
    items: int
    time_code_ms: int
    """Since the start of the recording."""
    character: int
    body_segments: int
    """23; 0 before MVN 2019."""
    props: int
    fingers: int


class Pose(NamedTuple):
    """A person's 23 segments."""

    pos_w: Array
    """[m], (23, 3), Z-up."""
    quat_w: Array
    """Unit, wxyz, (23, 4); identity in the T-pose."""


class NullPose(NamedTuple):
    """Segment origins of the character in the T-pose, from a scale datagram; empty in one that only carries points."""

    names: tuple[str, ...]
    pos_w: Array
    """[m], (n, 3)."""
    points: int
    """Landmarks the datagram also defines (not kept)."""


class Message(NamedTuple):
    """One datagram, read."""

    header: Header
    body: Pose | NullPose | dict[str, str] | str | None
    """Pose (02), tags (12), null pose (13), time code (25); None for types recognised but not read, and for parts."""


def read_header(data: bytes | memoryview) -> Header:
    """Check and read the header against the bytes that are there.

    Raises:
        ProtocolError: truncated, oversized, wrong_magic.
    """
    size = len(data)
    if size < HEADER_SIZE:
        raise ProtocolError("truncated", f"datagram of {size} B is shorter than the {HEADER_SIZE} B header")
    if size > MAX_DATAGRAM:
        raise ProtocolError("oversized", f"datagram is longer than {MAX_DATAGRAM} B, more than any MVN datagram")
    magic, digits, sample, counter, items, time_code, character, body, props, fingers, reserved, payload = (
        _HEADER.unpack_from(data)
    )
    if magic != b"MXTP" or not digits.isdigit():
        raise ProtocolError("wrong_magic", f"datagram starts with {magic + digits!r}, not with b'MXTP' and two digits")
    legacy = body == props == fingers == reserved == payload == 0  # before MVN 2019 these bytes were reserved
    if payload != size - HEADER_SIZE and not legacy:
        reason = "truncated" if payload > size - HEADER_SIZE else "oversized"
        raise ProtocolError(reason, f"header declares {payload} B of payload but {size - HEADER_SIZE} B follow")
    return Header(
        int(digits), sample, counter & 0x7F, bool(counter & 0x80), items, time_code, character, body, props, fingers
    )


def check_pose_part(header: Header, size: int) -> None:
    """Check the counts of one type 02 datagram against its payload size [B].

    Raises:
        ProtocolError: wrong_count.
    """
    if header.items * _ITEM.itemsize != size:
        raise ProtocolError("wrong_count", f"{header.items} segments do not fit a payload of {size} B, 32 B each")
    if header.body_segments not in (0, SEGMENTS):
        raise ProtocolError(
            "wrong_count", f"character has {header.body_segments} body segments; {SEGMENTS} are expected"
        )
    if not 0 < header.items <= MAX_ITEMS:
        raise ProtocolError("wrong_count", f"datagram has {header.items} segments; 1 to {MAX_ITEMS} are possible")


def read_pose(header: Header, payload: bytes | memoryview) -> Pose:
    """The 23 body segments of a whole type 02 sample; props and fingers after them are left out.

    Raises:
        ProtocolError: wrong_count, wrong_ids, non_finite, implausible_position, quaternion_norm.
    """
    count = len(payload) // _ITEM.itemsize
    wanted = SEGMENTS + header.props + header.fingers if header.body_segments else count
    if count != wanted or not SEGMENTS <= count <= MAX_ITEMS:
        raise ProtocolError("wrong_count", f"sample has {count} segments; {max(wanted, SEGMENTS)} are expected")
    raw = np.frombuffer(payload, _FLOAT, SEGMENTS * _FLOATS).reshape(SEGMENTS, _FLOATS)
    if raw[:, 0].tobytes() != _BODY_IDS:
        raise ProtocolError(
            "wrong_ids", f"segment ids are not 1 to {SEGMENTS} in order: {raw[:, 0].view('>i4').tolist()}"
        )
    if not np.isfinite(raw).all():
        raise ProtocolError("non_finite", "a position or quaternion is NaN or infinite")
    values: Array = raw.astype(np.float64)
    pos, quat = values[:, 1:4].copy(), values[:, 4:].copy()
    _check_positions(pos)
    return Pose(pos, _unit(quat))


def _check_positions(pos: Array) -> None:
    x, y, z = pos[0].tolist()
    if max(abs(x), abs(y), abs(z)) > EXTENT_M:
        raise ProtocolError(
            "implausible_position", f"pelvis is at ({x:.3g}, {y:.3g}, {z:.3g}) m, beyond {EXTENT_M:.0f} m"
        )
    away = pos - pos[0]
    reach = math.sqrt(np.maximum.reduce(np.vecdot(away, away)))
    if not REACH_M[0] <= reach <= REACH_M[1]:
        hint = "; the stream looks like centimetres" if 100 * REACH_M[0] <= reach <= 100 * REACH_M[1] else ""
        raise ProtocolError(
            "implausible_position",
            f"farthest segment is {reach:.3g} m from the pelvis; {REACH_M[0]} to {REACH_M[1]} m are possible{hint}",
        )


def _unit(quat: Array) -> Array:
    norms = np.sqrt(np.vecdot(quat, quat))
    off = norms - 1.0
    worst = 1.0 if off @ off <= NORM_TOLERANCE**2 else float(norms[np.argmax(np.abs(off))])
    if not abs(worst - 1.0) <= NORM_TOLERANCE:
        raise ProtocolError("quaternion_norm", f"a quaternion has norm {worst:.3g}; 1 is expected")
    quat /= norms[:, None]
    return quat


def read_meta(payload: bytes | memoryview) -> dict[str, str]:
    """Tags of a type 12 datagram: lines of `tag:value`; lines without a colon are skipped."""
    raw = bytes(payload)
    if len(raw) >= 4 and _COUNT.unpack_from(raw)[0] == len(raw) - 4:
        raw = raw[4:]  # as a length-prefixed string
    lines = raw.decode("utf-8", "replace").replace("\0", "").splitlines()
    return {tag.strip(): value.strip() for tag, colon, value in (line.partition(":") for line in lines) if colon}


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


def decode(data: bytes | memoryview) -> Message:
    """Read one datagram by itself; a part of a split sample comes back with no body (see `reassembly.py`).

    Raises:
        ProtocolError: see the readers above.
    """
    header = read_header(data)
    payload = memoryview(data)[HEADER_SIZE:]
    if header.kind == POSE:
        check_pose_part(header, len(payload))
        whole = header.last and header.part == 0
        return Message(header, read_pose(header, payload) if whole else None)
    if header.kind == META:
        return Message(header, read_meta(payload))
    if header.kind == SCALE:
        return Message(header, read_null_pose(payload))
    if header.kind == TIME_CODE:
        return Message(header, bytes(payload[-12:]).decode("ascii", "replace"))
    return Message(header, None)


def encode_pose(pos_w: Array, quat_w: Array, *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 02 datagram of 23 segments: positions [m] (23, 3), wxyz (23, 4); 760 B."""
    items = np.empty(SEGMENTS, _ITEM)
    items["id"] = np.arange(1, SEGMENTS + 1)
    items["pos"] = pos_w
    items["quat"] = quat_w
    return _datagram(POSE, items.tobytes(), SEGMENTS, sample, time_code_ms, character)


def encode_meta(tags: dict[str, str], *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 12 datagram of `tag:value` lines."""
    text = "".join(f"{tag}:{value}\n" for tag, value in tags.items())
    return _datagram(META, text.encode(), 1, sample, time_code_ms, character)


def encode_null_pose(pos_w: Array, *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 13 datagram: names and T-pose origins [m] of the 23 segments (23, 3), no landmarks."""
    parts = [_COUNT.pack(SEGMENTS)]
    for name, point in zip(MVN_SEGMENTS, pos_w, strict=True):
        parts += [_COUNT.pack(len(name)), name.encode(), _POINT.pack(*point)]
    parts.append(_COUNT.pack(0))
    return _datagram(SCALE, b"".join(parts), SEGMENTS, sample, time_code_ms, character)


def _datagram(kind: int, payload: bytes, items: int, sample: int, time_code_ms: int, character: int) -> bytes:
    head = _HEADER.pack(
        b"MXTP", b"%02d" % kind, sample & 0xFFFFFFFF, 0x80, items, time_code_ms & 0xFFFFFFFF,
        character, SEGMENTS, 0, 0, 0, len(payload),
    )  # fmt: skip
    return head + payload
