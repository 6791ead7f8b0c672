"""Xsens MVN network stream: bytes <-> values. Pure; no sockets, no clock.

Big-endian datagrams, over UDP or one after another over TCP: a 24-byte header (`MXTP` + two digits of message type
...) and a payload. Type 02 carries segment id, position and quaternion per segment: Z-up, right-handed, wxyz, and
**metres** (the specification's common paragraph says cm; Xsens' own code divides type 01 only). Layout: "MVN real-time
network streaming protocol specification", revision N, sections 2.4 to 2.7.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.xsens import tables
from teleopd.drivers.xsens.scale import NullPose, read_null_pose

DEFAULT_PORT = 9763
HEADER_SIZE = 24
MAX_DATAGRAM = 8192
"""Largest datagram read [B]: 67 segments of the longest type (44 B) are 2972 B; scale datagrams stay below the MTU."""
SEGMENTS = len(MVN_SEGMENTS)
MAX_ITEMS = 67
"""23 body segments + 4 props + 40 finger segments."""
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
ADDITIONS = {
    JOINT_ANGLES: "joint angles", LINEAR: "linear kinematics", ANGULAR: "angular kinematics", TRACKERS: "trackers",
    CENTRE_OF_MASS: "centre of mass", META: "name", SCALE: "scale", TIME_CODE: "time code",
}  # fmt: skip
"""Types that define no pose; the same for a user who ticked only these."""

_HEADER = struct.Struct(">4s2sIBBIBBBBHH")
_ITEM = np.dtype([("id", ">i4"), ("pos", ">f4", 3), ("quat", ">f4", 4)])
_FLOAT = np.dtype(">f4")
_FLOATS = _ITEM.itemsize // _FLOAT.itemsize
_BODY_IDS = np.arange(1, SEGMENTS + 1, dtype=">i4").tobytes()
_OLD_ITEM_SIZES = {
    POSE_EULER: 28, POSE: 32, POSE_POINTS: 16, POSE_UNITY: 32, JOINT_ANGLES: 20, LINEAR: 40, ANGULAR: 44, TRACKERS: 44,
}  # fmt: skip
"""[B]; before MVN 2019 no header said how long its payload is."""
_COUNT = struct.Struct(">i")
_POINT = struct.Struct(">3f")


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
    extras: tables.Extras | None = None
    """Props and fingers; None where there are none, or nobody asked."""


class Message(NamedTuple):
    """One datagram, read."""

    header: Header
    body: (
        Pose | tables.Segments | tables.EulerPose | tables.UnityPose | tables.JointAngles | NullPose | dict[str, str]
        | str | None
    )  # fmt: skip
    """Pose (02; rows of a part of a split sample), Euler (01), Unity (05), tags (12), null pose (13), joint angles
    (20), time code (25); None for types recognised but not read."""


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


def datagram_size(head: bytes | bytearray | memoryview) -> int:
    """Length [B] of the datagram that begins with these 24 bytes of a stream.

    Raises:
        ProtocolError: wrong_magic, oversized, no_length.
    """
    magic, digits, _, _, items, _, _, body, props, fingers, reserved, payload = _HEADER.unpack_from(head)
    if magic != b"MXTP" or not digits.isdigit():
        raise ProtocolError("wrong_magic", f"stream goes on with {magic + digits!r}, not with b'MXTP' and two digits")
    if body == props == fingers == reserved == payload == 0:
        size = _OLD_ITEM_SIZES.get(int(digits))
        if size is None:
            raise ProtocolError("no_length", f"stream has a datagram of type {int(digits):02d} without a length")
        payload = items * size
    if HEADER_SIZE + payload > MAX_DATAGRAM:
        raise ProtocolError("oversized", f"datagram is longer than {MAX_DATAGRAM} B, more than any MVN datagram")
    return int(HEADER_SIZE + payload)


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
    """The 23 body segments of a whole type 02 sample; props and fingers after them: `read_extras`.

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


def read_extras(header: Header, payload: bytes | memoryview) -> tables.Extras | None:
    """Props and fingers of a whole type 02 sample; None where it has none.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    if not (header.props or header.fingers) or not header.body_segments:
        return None
    return tables.read_extras(payload, SEGMENTS, header.props, header.fingers)


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


def decode(data: bytes | memoryview) -> Message:
    """Read one datagram by itself; a part of a split sample comes back as its rows (see `reassembly.py`).

    Raises:
        ProtocolError: see the readers above and in `tables.py`.
    """
    header = read_header(data)
    payload = memoryview(data)[HEADER_SIZE:]
    kind = header.kind
    if kind == POSE:
        check_pose_part(header, len(payload))
        if not header.last or header.part:
            return Message(header, tables.read_segments(payload))
        pose = read_pose(header, payload)
        if header.props or header.fingers:
            pose = pose._replace(extras=read_extras(header, payload))
        return Message(header, pose)
    if kind == META:
        return Message(header, read_meta(payload))
    if kind == SCALE:
        return Message(header, read_null_pose(payload))
    if kind == TIME_CODE:
        return Message(header, tables.read_time_code(payload))
    if kind == POSE_EULER:
        return Message(header, tables.read_euler(header.items, payload))
    if kind == POSE_UNITY:
        return Message(header, tables.read_unity(header.items, payload))
    if kind == JOINT_ANGLES:
        return Message(header, tables.read_joint_angles(header.items, payload))
    return Message(header, None)


def encode_pose(pos_w: Array, quat_w: Array, *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 02 datagram of 23 segments: positions [m] (23, 3), wxyz (23, 4); 760 B."""
    rows = pose_rows(np.arange(1, SEGMENTS + 1), pos_w, quat_w)
    return datagram(POSE, rows, SEGMENTS, sample, time_code_ms, character)


def pose_rows(ids: npt.NDArray[np.int64], pos: Array, quat: Array) -> bytes:
    """Rows of types 02 and 05: ids (n,), positions (n, 3), wxyz (n, 4); 32 B each."""
    items = np.empty(len(ids), _ITEM)
    items["id"], items["pos"], items["quat"] = ids, pos, quat
    return items.tobytes()


def encode_meta(tags: dict[str, str], *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 12 datagram of `tag:value` lines."""
    text = "".join(f"{tag}:{value}\n" for tag, value in tags.items())
    return datagram(META, text.encode(), 1, sample, time_code_ms, character)


def encode_null_pose(pos_w: Array, *, sample: int, time_code_ms: int, character: int = 0) -> bytes:
    """Type 13 datagram: names and T-pose origins [m] of the 23 segments (23, 3), no landmarks."""
    parts = [_COUNT.pack(SEGMENTS)]
    for name, point in zip(MVN_SEGMENTS, pos_w, strict=True):
        parts += [_COUNT.pack(len(name)), name.encode(), _POINT.pack(*point)]
    parts.append(_COUNT.pack(0))
    return datagram(SCALE, b"".join(parts), SEGMENTS, sample, time_code_ms, character)


def datagram(
    kind: int, payload: bytes, items: int, sample: int, time_code_ms: int, character: int, *, counter: int = 0x80,
    props: int = 0, fingers: int = 0,
) -> bytes:  # fmt: skip
    """Header and payload; `counter`: index of the part, plus 0x80 on the last."""
    head = _HEADER.pack(
        b"MXTP", b"%02d" % kind, sample & 0xFFFFFFFF, counter, items, time_code_ms & 0xFFFFFFFF,
        character, SEGMENTS, props, fingers, 0, len(payload),
    )  # fmt: skip
    return head + payload
