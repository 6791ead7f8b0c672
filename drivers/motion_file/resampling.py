"""A clip at another frame rate, and its body in the T-pose: what device emulators send."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import BALL_HEIGHT_M, SEGMENT, MotionClip, to_local, to_world


def resample(clip: MotionClip, rate_hz: float) -> MotionClip:
    """The clip at another rate: positions linear, orientations by slerp; the same object at its own rate."""
    if rate_hz == clip.fps:
        return clip
    count = int((len(clip.pos_w) - 1) / clip.fps * rate_hz + 1e-9) + 1
    at = np.arange(count, dtype=np.float64) * (clip.fps / rate_hz)
    low = np.minimum(at.astype(np.int64), len(clip.pos_w) - 1)
    high = np.minimum(low + 1, len(clip.pos_w) - 1)
    share = np.subtract(at, low, dtype=np.float64)
    weight = share[:, None, None]
    pos_w = (1.0 - weight) * clip.pos_w[low] + weight * clip.pos_w[high]
    quat_w = rot.slerp(clip.quat_w[low], clip.quat_w[high], share[:, None])
    return replace(clip, fps=rate_hz, pos_w=pos_w, quat_w=quat_w)


def null_pose(clip: MotionClip) -> Array:
    """Segment origins [m] (23, 3) of the clip's body in the T-pose: its bones with every orientation the identity."""
    offsets, turns = to_local(clip.pos_w[:1], clip.quat_w[:1])
    offsets[:, 0] = 0.0
    turns[:] = rot.IDENTITY
    pos_w: Array = to_world(offsets, turns)[0][0]
    toes = pos_w[[SEGMENT["LeftToe"], SEGMENT["RightToe"]], 2]
    pos_w[:, 2] += BALL_HEIGHT_M - toes.min()
    return pos_w
