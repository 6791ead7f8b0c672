"""Standing before and after a clip: a neutral pose with hanging arms, held, then blended into the clip's own pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.breathing import breathe
from teleopd.drivers.motion_file.clip import BALL_HEIGHT_M, SEGMENT, MotionClip, to_local, to_world
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.timing import minimum_jerk

BLEND_S = 1.5
"""Time from standing into the clip; joints turn 120 deg at most, so 2.6 rad/s at the peak."""
MAX_LEAD_S = 600.0
HANG_RAD, ELBOW_RAD = np.deg2rad(80.0), np.deg2rad(15.0)
"""Relaxed arms: 10 deg off the body, elbows a little bent."""
HIP_RAD, KNEE_RAD = np.deg2rad(5.0), np.deg2rad(10.0)
"""Relaxed legs: soft knees, soles level (ankle = hip - knee)."""


def neutral_turns() -> Array:
    """Joint-local rotations of relaxed standing facing +X, (23, 4)."""
    turns = np.tile(rot.IDENTITY, (len(MVN_SEGMENTS), 1))
    for side, sign in (("Left", -1.0), ("Right", 1.0)):
        turns[SEGMENT[side + "UpperArm"]] = rot.about(0, sign * HANG_RAD)
        turns[SEGMENT[side + "ForeArm"]] = rot.about(2, sign * ELBOW_RAD)
        turns[SEGMENT[side + "UpperLeg"]] = rot.about(1, -HIP_RAD)
        turns[SEGMENT[side + "LowerLeg"]] = rot.about(1, KNEE_RAD)
        turns[SEGMENT[side + "Foot"]] = rot.about(1, HIP_RAD - KNEE_RAD)
    return turns


def _neutral_at(offsets: Array, turns: Array) -> tuple[Array, Array]:
    """Neutral standing with the given body's bones, at its place and heading, on the floor (local form)."""
    offsets, stand = offsets.copy(), neutral_turns()
    stand[0] = rot.about(2, rot.heading(turns[0]))
    pos_w, _ = to_world(offsets[None], stand[None])
    toes = pos_w[0, [SEGMENT["LeftToe"], SEGMENT["RightToe"]], 2]
    offsets[0, 2] += BALL_HEIGHT_M - float(toes.min())
    return offsets, stand


def _lead(offsets: Array, turns: Array, lead_s: float, fps: float) -> tuple[Array, Array]:
    """World poses of one lead, from neutral to just before the given frame: (N, 23, 3), (N, 23, 4)."""
    count = round(lead_s * fps)
    blend = min(round(BLEND_S * fps), count)
    s = minimum_jerk((np.arange(count) - (count - blend)) / max(blend, 1))
    neutral_offsets, neutral = _neutral_at(offsets, turns)
    w = s[:, None, None]
    stand = rot.slerp(neutral[None], turns[None], s[:, None])
    alive = rot.slerp(breathe(stand, fps), stand, s[:, None])  # the sway ends where the clip begins
    return to_world((1.0 - w) * neutral_offsets + w * offsets, alive)


def with_leads(clip: MotionClip, lead_in_s: float, lead_out_s: float) -> MotionClip:
    """The clip with standing before and after it: held, then blended over the last 1.5 s (less if the lead is shorter).

    Raises:
        MotionFileError: a lead that is negative, not finite or longer than 600 s.
    """
    for what, lead_s in (("lead-in", lead_in_s), ("lead-out", lead_out_s)):
        if not 0.0 <= lead_s <= MAX_LEAD_S:
            raise MotionFileError(f"{what} of {lead_s} s; 0 to {MAX_LEAD_S:g} s are possible")
    ends = to_local(clip.pos_w[[0, -1]], clip.quat_w[[0, -1]])
    before = _lead(ends[0][0], ends[1][0], lead_in_s, clip.fps)
    after = _lead(ends[0][1], ends[1][1], lead_out_s, clip.fps)
    pos_w = np.concatenate((before[0], clip.pos_w, after[0][::-1]))
    quat_w = rot.continuous(np.concatenate((before[1], clip.quat_w, after[1][::-1])))
    return replace(clip, pos_w=pos_w, quat_w=quat_w)
