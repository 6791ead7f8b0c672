"""What MVN sends beside the pose of the body, as tables: Euler, Unity, joint angles, time code, props, fingers. Pure.

None of them moves a robot; they are decoded for `teleop decode` and for programs that want them. Layout: "MVN real-time
network streaming protocol specification", revision N, sections 2.5.1 to 2.5.10, 2.7.1, 2.7.6 and 3.1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import Array
from teleopd.drivers.source import ProtocolError

FINGERS = 40
"""Finger segments of both hands; a stream has these or none."""
HAND_SEGMENTS = (
    "Carpus", "FirstMC", "FirstPP", "FirstDP", "SecondMC", "SecondPP", "SecondMP", "SecondDP", "ThirdMC", "ThirdPP",
    "ThirdMP", "ThirdDP", "FourthMC", "FourthPP", "FourthMP", "FourthDP", "FifthMC", "FifthPP", "FifthMP", "FifthDP",
)  # fmt: skip
"""The 20 of a hand in stream order: metacarpal, proximal, middle and distal phalanx, thumb first."""
UNITY_SEGMENTS = (
    "Pelvis", "RightUpperLeg", "RightLowerLeg", "RightFoot", "RightToe",
    "LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToe", "L5", "L3", "T12", "T8",
    "LeftShoulder", "LeftUpperArm", "LeftForeArm", "LeftHand",
    "RightShoulder", "RightUpperArm", "RightForeArm", "RightHand", "Neck", "Head",
)  # fmt: skip
"""Order of type 05, ids 1 to 23."""
CM = 0.01
"""Type 01 is in centimetres [m]; all the others are in metres."""

_QUATERNION_ITEM, _EULER_ITEM, _JOINT_ITEM = 32, 28, 20
_TIME_CODE = re.compile(rb"\d\d:\d\d:\d\d\.\d\d\d")
Ids = npt.NDArray[np.int64]


class EulerPose(NamedTuple):
    """Type 01: Y-up, right-handed. The specification names no order of the three rotations, so it drives nothing."""

    ids: Ids
    """Segment ids, (n,)."""
    pos_yup_m: Array
    """[m], (n, 3)."""
    euler_deg: Array
    """About x, y, z [deg], (n, 3)."""


class UnityPose(NamedTuple):
    """Type 05: Y-up, left-handed, ids in the order of `UNITY_SEGMENTS`; pelvis and props global, the others relative
    to their parent."""

    ids: Ids
    """Segment ids, (n,)."""
    pos_m: Array
    """[m], (n, 3)."""
    quat: Array
    """wxyz, (n, 4)."""


class JointAngles(NamedTuple):
    """Type 20: between two segments each; ids are (segment 1 to 67, point on it)."""

    parents: Ids
    """(n, 2)."""
    children: Ids
    """(n, 2)."""
    angles_deg: Array
    """About the segment's x, y, z [deg], (n, 3), Z-up."""


class Segments(NamedTuple):
    """Rows of a type 02 datagram that are not (all) the body: world Z-up."""

    ids: Ids
    """(n,)."""
    pos_w: Array
    """[m], (n, 3)."""
    quat_w: Array
    """wxyz as sent, (n, 4)."""


class Extras(NamedTuple):
    """Props and hands of a type 02 sample; empty where the stream has none."""

    props: Segments
    """0 to 4."""
    left_hand: Segments
    """0 or 20, as `HAND_SEGMENTS`."""
    right_hand: Segments


def read_segments(payload: bytes | memoryview) -> Segments:
    """Rows of 32 B.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    ids, values = _table(payload, len(payload) // _QUATERNION_ITEM, _QUATERNION_ITEM, 1)
    return Segments(ids[:, 0], values[:, :3], values[:, 3:])


def read_extras(payload: bytes | memoryview, body: int, props: int, fingers: int) -> Extras:
    """What follows the `body` segments of a whole type 02 sample.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    if fingers not in (0, FINGERS):
        raise ProtocolError("wrong_count", f"character has {fingers} finger segments; 0 or {FINGERS} are possible")
    rows = read_segments(memoryview(payload)[body * _QUATERNION_ITEM :])
    if len(rows.ids) != props + fingers:
        raise ProtocolError("wrong_count", f"{len(rows.ids)} segments follow the body; {props + fingers} are expected")
    left = props + fingers // 2
    return Extras(_cut(rows, 0, props), _cut(rows, props, left), _cut(rows, left, props + fingers))


def read_euler(items: int, payload: bytes | memoryview) -> EulerPose:
    """Type 01.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    ids, values = _table(payload, items, _EULER_ITEM, 1)
    return EulerPose(ids[:, 0], values[:, :3] * CM, values[:, 3:])


def read_unity(items: int, payload: bytes | memoryview) -> UnityPose:
    """Type 05.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    ids, values = _table(payload, items, _QUATERNION_ITEM, 1)
    return UnityPose(ids[:, 0], values[:, :3], values[:, 3:])


def read_joint_angles(items: int, payload: bytes | memoryview) -> JointAngles:
    """Type 20.

    Raises:
        ProtocolError: wrong_count, non_finite.
    """
    ids, values = _table(payload, items, _JOINT_ITEM, 2)
    points = np.stack(np.divmod(ids, 256), axis=-1)
    return JointAngles(points[:, 0], points[:, 1], values)


def read_time_code(payload: bytes | memoryview) -> str:
    """HH:MM:SS.mmm of type 25, bare or as a length-prefixed string.

    Raises:
        ProtocolError: wrong_time_code.
    """
    raw = bytes(payload)
    text = raw[4:] if len(raw) == 16 and raw[:4] == b"\0\0\0\x0c" else raw
    if _TIME_CODE.fullmatch(text) is None:
        raise ProtocolError("wrong_time_code", f"time code is {text[:16]!r}; HH:MM:SS.mmm is expected")
    return text.decode("ascii")


def _table(payload: bytes | memoryview, items: int, size: int, leading: int) -> tuple[Ids, Array]:
    """Rows of `leading` i32 and then floats: (items, leading), (items, rest)."""
    if items * size != len(payload):
        raise ProtocolError("wrong_count", f"{items} items do not fit a payload of {len(payload)} B, {size} B each")
    raw = np.frombuffer(payload, ">i4").reshape(items, size // 4)
    floats = raw[:, leading:].view(">f4")
    if not np.isfinite(floats).all():
        raise ProtocolError("non_finite", "a number is NaN or infinite")
    return raw[:, :leading].astype(np.int64), floats.astype(np.float64)


def _cut(rows: Segments, start: int, stop: int) -> Segments:
    return Segments(rows.ids[start:stop], rows.pos_w[start:stop], rows.quat_w[start:stop])
