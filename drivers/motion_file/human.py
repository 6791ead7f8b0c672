"""The parametric person: bones of a 1.75 m adult, and a body posed from a pelvis, upper-body joints and two feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.breathing import breathe
from teleopd.drivers.motion_file.clip import BALL_HEIGHT_M, SEGMENT, MotionClip, to_world
from teleopd.drivers.motion_file.leads import HIP_RAD, neutral_turns

HEIGHT_M = 1.75
# Fractions of body height: Drillis & Contini 1966, in Winter, Biomechanics of Human Movement, figure 4.1.
THIGH_M, SHANK_M, ANKLE_M = 0.245 * HEIGHT_M, 0.246 * HEIGHT_M, 0.039 * HEIGHT_M
UPPER_ARM_M, FOREARM_M = 0.186 * HEIGHT_M, 0.146 * HEIGHT_M
HALF_SHOULDERS_M = 0.129 * HEIGHT_M
FOOT_M = 0.152 * HEIGHT_M
# From two Xsens exports of adults of 1.74 and 1.78 m (joint centres, which the tables above do not give):
HALF_HIPS_M = 0.048 * HEIGHT_M
SPINE_M = 0.324 * HEIGHT_M
"""Hip line to the base of the neck."""
SPINE_FRACTIONS = (0.18, 0.38, 0.56, 0.745)
"""L5, L3, T12 and T8 on that line."""
NECK_M = 0.055 * HEIGHT_M
COLLAR_M = (0.0, 0.018 * HEIGHT_M, 0.046 * HEIGHT_M)
BALL_AHEAD_M = 0.47 * FOOT_M
"""Ankle to ball: at 25 % and 72 % of the foot's length."""
STANDING_M = ANKLE_M + (THIGH_M + SHANK_M) * float(np.cos(HIP_RAD))
"""Pelvis height of relaxed standing with soft knees."""
MAX_REACH = 0.9995
"""Longest leg over thigh + shank: knees never lock."""


def _offsets() -> Array:
    """Proximal joint of each segment in its parent's frame [m], T-pose, (23, 3)."""
    o = np.zeros((len(MVN_SEGMENTS), 3))
    below = 0.0
    for name, fraction in zip(("L5", "L3", "T12", "T8", "Neck"), (*SPINE_FRACTIONS, 1.0), strict=True):
        o[SEGMENT[name], 2] = (fraction - below) * SPINE_M
        below = fraction
    o[SEGMENT["Head"], 2] = NECK_M
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        o[SEGMENT[side + "Shoulder"]] = (COLLAR_M[0], sign * COLLAR_M[1], COLLAR_M[2])
        o[SEGMENT[side + "UpperArm"], 1] = sign * (HALF_SHOULDERS_M - COLLAR_M[1])
        o[SEGMENT[side + "ForeArm"], 1] = sign * UPPER_ARM_M
        o[SEGMENT[side + "Hand"], 1] = sign * FOREARM_M
        o[SEGMENT[side + "UpperLeg"], 1] = sign * HALF_HIPS_M
        o[SEGMENT[side + "LowerLeg"], 2] = -THIGH_M
        o[SEGMENT[side + "Foot"], 2] = -SHANK_M
        o[SEGMENT[side + "Toe"]] = (BALL_AHEAD_M, 0.0, BALL_HEIGHT_M - ANKLE_M)
    return o


OFFSETS: Array = _offsets()


@dataclass(frozen=True, slots=True)
class FootTrack:
    """One foot over time, moved by its ball (toe joint)."""

    ball_w: Array
    """(T, 3) [m]."""
    yaw_rad: Array
    """(T,)."""
    pitch_rad: Array
    """Heel up about the ball, (T,)."""
    repeats: np.typing.NDArray[np.intp]
    """Frame whose foot this frame repeats exactly: the first of its stance, or itself while swinging, (T,)."""


def arm(turns: Array, side: str, *, flex: Array | float = 0.0, abduct: Array | float = np.deg2rad(10.0),
        elbow: Array | float = np.deg2rad(15.0), twist: Array | float = 0.0) -> None:  # fmt: skip
    """Write one arm's joint-local rotations [rad] into turns (T, 23, 4).

    flex: forward raise; abduct: off the body, 90 deg is the T-pose; elbow: bend; twist: the upper arm about its own
    axis, positive turns the elbow's bending direction up when the arm is out to the side. Zero bend, zero flex and
    90 deg abduction is the T-pose.
    """
    frames = len(turns)
    flex, abduct, elbow, twist = (np.broadcast_to(np.asarray(a, dtype=np.float64), (frames,))
                                  for a in (flex, abduct, elbow, twist))  # fmt: skip
    upper = rot.multiply(rot.about(1, -flex), rot.multiply(rot.about(0, abduct - np.pi / 2), rot.about(1, -twist)))
    lower = rot.about(2, -elbow)
    if side == "Right":  # mirrored through the body's middle plane
        mirror = np.array([1.0, -1.0, 1.0, -1.0])
        upper, lower = upper * mirror, lower * mirror
    turns[:, SEGMENT[side + "UpperArm"]] = upper
    turns[:, SEGMENT[side + "ForeArm"]] = lower


def spine(turns: Array, *, yaw: Array | float = 0.0, pitch: Array | float = 0.0, roll: Array | float = 0.0) -> None:
    """Spread a bend of the trunk [rad] evenly over L5, L3, T12 and T8; half of it is taken back by neck and head."""
    frames = len(turns)
    for names, share in ((("L5", "L3", "T12", "T8"), 0.25), (("Neck", "Head"), -0.25)):
        z, y, x = (np.broadcast_to(np.asarray(a, dtype=np.float64) * share, (frames,)) for a in (yaw, pitch, roll))
        joint = rot.multiply(rot.about(2, z), rot.multiply(rot.about(1, y), rot.about(0, x)))
        for name in names:
            turns[:, SEGMENT[name]] = rot.multiply(joint, turns[:, SEGMENT[name]])


def relaxed(frames: int) -> Array:
    """Joint-local rotations of relaxed standing for every frame, (T, 23, 4)."""
    return np.tile(neutral_turns(), (frames, 1, 1))


def compose(name: str, fps: float, pelvis_w: Array, pelvis_quat_w: Array, turns: Array,
            left: FootTrack, right: FootTrack) -> MotionClip:  # fmt: skip
    """The whole body: trunk and arms by forward kinematics, legs by two-bone inverse kinematics onto the feet.

    Args:
        pelvis_w, pelvis_quat_w: pelvis over time, (T, 3) [m] and (T, 4).
        turns: joint-local rotations, of which the upper body's are used, (T, 23, 4).

    Raises:
        ValueError: a foot out of the leg's reach (an authoring mistake).
    """
    frames = len(pelvis_w)
    offsets, turns = np.tile(OFFSETS, (frames, 1, 1)), turns.copy()
    offsets[:, 0], turns[:, 0] = pelvis_w, pelvis_quat_w
    turns = breathe(turns, fps)
    pos_w, quat_w = to_world(offsets, turns)
    for side, foot in (("Left", left), ("Right", right)):
        hip, knee, ankle, toe = (SEGMENT[side + s] for s in ("UpperLeg", "LowerLeg", "Foot", "Toe"))
        quat_w[:, toe] = rot.about(2, foot.yaw_rad)
        quat_w[:, ankle] = rot.multiply(quat_w[:, toe], rot.about(1, foot.pitch_rad))
        pos_w[:, toe] = foot.ball_w
        pos_w[:, ankle] = foot.ball_w - rot.rotate(quat_w[:, ankle], OFFSETS[toe])
        for segment in (ankle, toe):
            pos_w[:, segment] = pos_w[foot.repeats, segment]
            quat_w[:, segment] = quat_w[foot.repeats, segment]
        facing = (rot.heading(pelvis_quat_w) + foot.yaw_rad) / 2.0
        ahead = np.stack((np.cos(facing), np.sin(facing), np.zeros(frames)), axis=-1)
        pos_w[:, knee], quat_w[:, hip], quat_w[:, knee] = _leg(name, pos_w[:, hip], pos_w[:, ankle], ahead)
    return MotionClip(name, fps, pos_w, rot.continuous(quat_w))


def _leg(name: str, hip_w: Array, ankle_w: Array, ahead_w: Array) -> tuple[Array, Array, Array]:
    """Knee position, thigh and shank orientation of a leg whose knee bends towards `ahead_w`; law of cosines."""
    down = ankle_w - hip_w
    length = np.linalg.norm(down, axis=-1, keepdims=True)
    if float(length.max()) > MAX_REACH * (THIGH_M + SHANK_M):
        raise ValueError(f"motion {name}: a foot is {float(length.max()):.3f} m from its hip; the leg is shorter")
    down = down / length
    front = ahead_w - down * np.sum(ahead_w * down, axis=-1, keepdims=True)
    front = front / np.linalg.norm(front, axis=-1, keepdims=True)
    along = (THIGH_M**2 - SHANK_M**2 + length**2) / (2.0 * length)
    knee_w = hip_w + along * down + np.sqrt(THIGH_M**2 - along**2) * front
    thigh = rot.from_axes(front, hip_w - knee_w, keep="up")
    shank = rot.from_axes(front, knee_w - ankle_w, keep="up")
    return knee_w, thigh, shank
