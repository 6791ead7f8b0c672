"""What an emulated MVN sends beside the body of type 02, made from it: props, fingers, types 01, 05, 20 and 25."""

from __future__ import annotations

import numpy as np

from teleopd.drivers.human_pose import MVN_PARENTS, MVN_SEGMENTS, Array
from teleopd.drivers.motion_file.rotations import conjugate, multiply, rotate
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.tables import CM, FINGERS, UNITY_SEGMENTS, Ids

_INDEX = {name: index for index, name in enumerate(MVN_SEGMENTS)}
_PARENTS = np.array([_INDEX[MVN_PARENTS[name]] for name in MVN_SEGMENTS[1:]])
_UNITY = np.array([_INDEX[name] for name in UNITY_SEGMENTS])
_FIRST_PROP_ID = 25
"""Props have indices 24 to 27; the specification's table leaves 23 out."""
_LEFT_HAND, _RIGHT_HAND = _INDEX["LeftHand"], _INDEX["RightHand"]
_PROP_STEP_M = 0.1


def _hand_offsets() -> Array:
    """Joints of the left hand in its own frame [m], (20, 3): along +Y in the T-pose, thumb towards +X."""
    rows = [(0.0, 0.0, 0.0)]
    for finger, phalanges in enumerate((3, 4, 4, 4, 4)):
        across_m = 0.04 - 0.02 * finger
        rows += [(across_m, 0.03 + 0.025 * k, 0.0) for k in range(phalanges)]
    return np.array(rows)


_LEFT_OFFSETS = _hand_offsets()
_RIGHT_OFFSETS = _LEFT_OFFSETS * (1.0, -1.0, 1.0)


def with_extras(pos_w: Array, quat_w: Array, props: int, fingers: bool) -> tuple[Ids, Array, Array]:
    """Ids (n,), positions [m] (n, 3) and orientations (n, 4) of the body and what it carries: `props` sticks in a row
    out of the right hand, and straight fingers."""
    ids = [np.arange(1, wire.SEGMENTS + 1)]
    offsets, hands = [], []
    if props:
        ids.append(np.arange(_FIRST_PROP_ID, _FIRST_PROP_ID + props))
        offsets.append(np.outer(np.arange(1, props + 1), (_PROP_STEP_M, 0.0, 0.0)))
        hands += [_RIGHT_HAND] * props
    if fingers:
        first = wire.SEGMENTS + 1 + props
        ids.append(np.arange(first, first + FINGERS))
        offsets += [_LEFT_OFFSETS, _RIGHT_OFFSETS]
        hands += [_LEFT_HAND] * (FINGERS // 2) + [_RIGHT_HAND] * (FINGERS // 2)
    if not hands:
        return ids[0], pos_w, quat_w
    extra_quat = quat_w[hands]
    extra_pos = pos_w[hands] + rotate(extra_quat, np.concatenate(offsets))
    return np.concatenate(ids), np.concatenate((pos_w, extra_pos)), np.concatenate((quat_w, extra_quat))


def euler_rows(ids: Ids, pos_w: Array, quat_w: Array) -> bytes:
    """Type 01: centimetres, Y-up (x = our y, y = our z, z = our x), and angles [deg] of R = Ry Rx Rz, the order of
    MVN's own BVH files; the specification names none."""
    w, x, y, z = (quat_w[:, k] for k in (0, 2, 3, 1))
    sine = np.clip(2.0 * (w * x - y * z), -1.0, 1.0)
    locked = np.abs(sine) > 1.0 - 1e-9  # x at 90 degrees: y and z turn about one axis, so z takes nothing
    about_y = np.arctan2(2.0 * (w * y + x * z), 1.0 - 2.0 * (x * x + y * y))
    about_y = np.where(locked, np.arctan2(2.0 * (w * y - x * z), 1.0 - 2.0 * (y * y + z * z)), about_y)
    about_z = np.where(locked, 0.0, np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (x * x + z * z)))
    angles = np.stack((np.arcsin(sine), about_y, about_z), axis=1)
    return _rows(ids[:, None], np.concatenate((pos_w[:, [1, 2, 0]] / CM, np.degrees(angles)), axis=1))


def unity_rows(pos_w: Array, quat_w: Array) -> bytes:
    """Type 05 of the 23 body segments: x right, y up, z forward; all but the pelvis relative to their parent."""
    pos, quat = pos_w.copy(), quat_w.copy()
    back = conjugate(quat_w[_PARENTS])
    pos[1:] = rotate(back, pos_w[1:] - pos_w[_PARENTS])
    quat[1:] = multiply(back, quat_w[1:])
    pos_u = np.stack((-pos[:, 1], pos[:, 2], pos[:, 0]), axis=1)
    quat_u = np.stack((quat[:, 0], quat[:, 2], -quat[:, 3], -quat[:, 1]), axis=1)
    return wire.pose_rows(np.arange(1, wire.SEGMENTS + 1), pos_u[_UNITY], quat_u[_UNITY])


def joint_angle_rows(quat_w: Array) -> bytes:
    """Type 20: the 22 joints; angles [deg] are those of the rotation vector from parent to child. Every joint is point
    0 of its child and the point of its parent that has the child's id."""
    turn = multiply(conjugate(quat_w[_PARENTS]), quat_w[1 : wire.SEGMENTS])
    turn *= np.where(turn[:, :1] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(turn[:, 1:], axis=1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, turn[:, :1])
    vector = np.degrees(angle) * turn[:, 1:] / np.maximum(sine, 1e-12)
    child = np.arange(2, wire.SEGMENTS + 1)
    return _rows(np.stack((256 * (_PARENTS + 1) + child, 256 * child), axis=1), vector)


def time_code(seconds: float) -> bytes:
    """Type 25, of a recording that began at midnight [s]."""
    ms = round(1000 * seconds) % 86_400_000
    return b"%02d:%02d:%02d.%03d" % (ms // 3_600_000, ms // 60_000 % 60, ms // 1000 % 60, ms % 1000)


def _rows(ids: Ids, values: Array) -> bytes:
    """Rows of i32 and then f32, big-endian."""
    whole = np.empty((len(ids), ids.shape[1] + values.shape[1]), ">i4")
    whole[:, : ids.shape[1]] = ids
    whole[:, ids.shape[1] :] = values.astype(">f4").view(">i4")
    return whole.tobytes()
