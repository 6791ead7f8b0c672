"""The 24 PICO body joints <-> the 23 MVN segments in canonical frames. Pure.

PICO's world is right-handed with X right, Y up and Z towards the user; its joints are those of the OpenXR extension
XR_BD_body_tracking, whose frames in the T-pose have +X to the body's right and +Z to its back, so that every joint
frame equals PICO's world frame there. Both follow independently from the rotation offsets that GMR's PICO table
stores (`service/retarget` computes the same offsets from identity frames). Canonical frames are therefore a renaming of
axes, for positions and for the vector parts of quaternions alike:

    x = -z_pico    y = -x_pico    z = y_pico

Each MVN segment takes the joint at its own proximal end. PICO has three spine joints where MVN has four: L5 is Spine1,
L3 is Spine2, T8 is Spine3, and T12 is derived half-way between L3 and T8, on a spine that bends evenly between them and
is straight in the T-pose. The two Hand joints have no MVN segment.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.pico.messages import BODY_JOINTS, NUMBERS
from teleopd.drivers.source import ProtocolError

JOINTS = (
    "Pelvis", "Left_Hip", "Right_Hip", "Spine1", "Left_Knee", "Right_Knee", "Spine2", "Left_Ankle", "Right_Ankle",
    "Spine3", "Left_Foot", "Right_Foot", "Neck", "Left_Collar", "Right_Collar", "Head", "Left_Shoulder",
    "Right_Shoulder", "Left_Elbow", "Right_Elbow", "Left_Wrist", "Right_Wrist", "Left_Hand", "Right_Hand",
)  # fmt: skip
"""In stream order: OpenXR XrBodyJointBD, the order of SMPL."""
_LIMBS = {
    "Shoulder": "Collar", "UpperArm": "Shoulder", "ForeArm": "Elbow", "Hand": "Wrist",
    "UpperLeg": "Hip", "LowerLeg": "Knee", "Foot": "Ankle", "Toe": "Foot",
}  # fmt: skip
JOINT_OF: dict[str, str] = {
    "Pelvis": "Pelvis", "L5": "Spine1", "L3": "Spine2", "T8": "Spine3", "Neck": "Neck", "Head": "Head",
    **{side + segment: f"{side}_{joint}" for side in ("Left", "Right") for segment, joint in _LIMBS.items()},
}  # fmt: skip
"""MVN segment -> PICO joint; all segments but T12."""
T12_SHARE = 0.493
"""Where T12 lies on the way from L3 to T8: heights 0.38, 0.56 and 0.745 of hips to neck (Xsens exports)."""
HAND_AHEAD_M = 0.09
"""Wrist to the Hand joint, along the straight hand; used when a PICO body is made from MVN segments."""
NORM_TOLERANCE = 0.01
REACH_M = (0.2, 3.0)
"""Distance of the farthest joint from the pelvis [m]: below, no person; above, not metres."""
EXTENT_M = 10_000.0
"""Farthest believable coordinate [m]."""

_L3, _T12, _T8 = (MVN_SEGMENTS.index(name) for name in ("L3", "T12", "T8"))
_HANDS = {name: MVN_SEGMENTS.index(name) for name in ("LeftHand", "RightHand")}
_ROWS = np.array([JOINTS.index(JOINT_OF.get(name, "Spine2")) for name in MVN_SEGMENTS])
_COLUMNS = np.array([2, 0, 1, 6, 5, 3, 4])  # z x y qw qz qx qy
_PICK: npt.NDArray[np.intp] = _ROWS[:, None] * NUMBERS + _COLUMNS
_SIGNS: Array = np.array([-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])


def to_mvn(raw: Array) -> tuple[Array, Array]:
    """MVN segments, positions [m] (23, 3) and unit wxyz (23, 4), of the 24 joints as sent, (24, 7).

    Raises:
        ProtocolError: zero_body, implausible_position, quaternion_norm.
    """
    _check(raw)
    body: Array = raw.take(_PICK)
    body *= _SIGNS
    pos, quat = body[:, :3].copy(), body[:, 3:].copy()
    quat /= np.sqrt(np.vecdot(quat, quat))[:, None]
    _place_t12(pos, quat)
    return pos, quat


def from_mvn(pos_w: Array, quat_w: Array) -> Array:
    """The joints as the headset would send them, (..., 24, 7), of MVN segments (..., 23, 3) and (..., 23, 4)."""
    raw = np.empty((*pos_w.shape[:-2], BODY_JOINTS, NUMBERS))
    body = to_device(pos_w, quat_w)
    for segment, joint in JOINT_OF.items():
        raw[..., JOINTS.index(joint), :] = body[..., MVN_SEGMENTS.index(segment), :]
    for segment, index in _HANDS.items():
        side = 1.0 if segment == "LeftHand" else -1.0
        palm = pos_w[..., index, :] + side * HAND_AHEAD_M * _y_axis(quat_w[..., index, :])
        raw[..., JOINTS.index(segment.replace("Hand", "_Hand")), :] = to_device(palm, quat_w[..., index, :])
    return raw


def to_world(raw: Array) -> tuple[Array, Array]:
    """Positions [m] (n, 3) and unit wxyz (n, 4) in world axes of device poses (n, 7); zero quaternions stay zero."""
    turned: Array = raw[:, _COLUMNS] * _SIGNS
    norm = np.sqrt(np.vecdot(turned[:, 3:], turned[:, 3:]))
    return turned[:, :3].copy(), turned[:, 3:] / np.where(norm > 0.0, norm, 1.0)[:, None]


def to_device(pos_w: Array, quat_w: Array) -> Array:
    """Device poses (..., 7) of world positions (..., 3) and wxyz (..., 4)."""
    x, y, z = pos_w[..., 0], pos_w[..., 1], pos_w[..., 2]
    w, i, j, k = quat_w[..., 0], quat_w[..., 1], quat_w[..., 2], quat_w[..., 3]
    return np.stack((-y, z, -x, -j, k, -i, w), axis=-1)


def _check(raw: Array) -> None:
    quat = raw[:, 3:]
    norms = np.sqrt(np.vecdot(quat, quat))
    off = norms - 1.0
    if off @ off > NORM_TOLERANCE**2 and np.abs(off).max() > NORM_TOLERANCE:
        if not raw.any():
            raise ProtocolError(
                "zero_body", "every body joint is zero: body tracking is not running; calibrate the motion trackers"
            )
        worst = float(norms[np.argmax(np.abs(off))])
        raise ProtocolError("quaternion_norm", f"a quaternion has norm {worst:.3g}; 1 is expected")
    x, y, z = raw[0, :3].tolist()
    if max(abs(x), abs(y), abs(z)) > EXTENT_M:
        raise ProtocolError(
            "implausible_position", f"pelvis is at ({x:.3g}, {y:.3g}, {z:.3g}) m, beyond {EXTENT_M:.0f} m"
        )
    away = raw[:, :3] - raw[0, :3]
    reach = math.sqrt(np.maximum.reduce(np.vecdot(away, away)))
    if not REACH_M[0] <= reach <= REACH_M[1]:
        raise ProtocolError(
            "implausible_position",
            f"farthest joint is {reach:.3g} m from the pelvis; {REACH_M[0]} to {REACH_M[1]} m are possible",
        )


def _place_t12(pos: Array, quat: Array) -> None:
    """T12 of an evenly bent spine: half of the turn from L3 to T8, on two straight bones in the ratio `T12_SHARE`.

    With the bones a u and (1-a) R u (u the unknown direction in L3's frame, R the half turn by angle g about n), the
    way d from L3 to T8 is (a + (1-a) R) u, which splits along n and across it and is inverted in closed form. Plain
    floats: numpy costs ten times as much on one vector.
    """
    lw, lx, ly, lz = quat[_L3].tolist()
    tw, tx, ty, tz = quat[_T8].tolist()
    if lw * tw + lx * tx + ly * ty + lz * tz < 0.0:
        tw, tx, ty, tz = -tw, -tx, -ty, -tz
    mw, mx, my, mz = lw + tw, lx + tx, ly + ty, lz + tz
    norm = math.sqrt(mw * mw + mx * mx + my * my + mz * mz)
    mw, mx, my, mz = mw / norm, mx / norm, my / norm, mz / norm
    quat[_T12] = (mw, mx, my, mz)
    # the half turn m * conj(l), in the world frame: cosine and axis * sine of g/2
    hw = mw * lw + mx * lx + my * ly + mz * lz
    hx = -mw * lx + mx * lw - my * lz + mz * ly
    hy = -mw * ly + my * lw - mz * lx + mx * lz
    hz = -mw * lz + mz * lw - mx * ly + my * lx
    sx, sy, sz = pos[_L3].tolist()
    ex, ey, ez = pos[_T8].tolist()
    dx, dy, dz = ex - sx, ey - sy, ez - sz
    a, b = T12_SHARE, 1.0 - T12_SHARE
    sine2 = hx * hx + hy * hy + hz * hz  # sin^2(g/2)
    cosine = 1.0 - 2.0 * sine2
    real = a + b * cosine
    below = real * real + b * b * (1.0 - cosine * cosine)
    along = 0.0 if sine2 < 1e-24 else (hx * dx + hy * dy + hz * dz) / sine2  # times the axis * sine
    turn = -2.0 * b * hw / below  # -(1-a) sin(g) n = -(1-a) 2 cos(g/2) (n sin(g/2))
    keep, rest = real / below, along * (1.0 - real / below)
    pos[_T12] = (
        sx + a * (keep * dx + rest * hx + turn * (hy * dz - hz * dy)),
        sy + a * (keep * dy + rest * hy + turn * (hz * dx - hx * dz)),
        sz + a * (keep * dz + rest * hz + turn * (hx * dy - hy * dx)),
    )


def _y_axis(quat: Array) -> Array:
    """World direction of a frame's Y axis, (..., 3)."""
    w, x, y, z = quat[..., 0], quat[..., 1], quat[..., 2], quat[..., 3]
    return np.stack((2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x)), axis=-1)
