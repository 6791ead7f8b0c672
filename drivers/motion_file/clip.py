"""`MotionClip`: a person's motion as the 23 MVN segments, and its two forms: world poses and joint-local poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import MVN, MVN_PARENTS, MVN_SEGMENTS, Array, HumanPose, Skeleton
from teleopd.drivers.motion_file import rotations as rot

SEGMENT: dict[str, int] = {name: i for i, name in enumerate(MVN_SEGMENTS)}
"""Segment name -> index."""
PARENTS: tuple[int, ...] = tuple(SEGMENT[MVN_PARENTS[n]] if n in MVN_PARENTS else -1 for n in MVN_SEGMENTS)
"""Parent index of each MVN segment, -1 for the pelvis; parents come first."""
BALL_HEIGHT_M = 0.02
"""Toe joint (ball of the foot) above the floor of a flat foot; measured 0.017 to 0.022 on two Xsens exports."""


@dataclass(frozen=True, slots=True)
class MotionClip:
    """A person's motion, world Z-up, canonical segment frames (identity in the T-pose facing +X), floor at z = 0."""

    name: str
    fps: float
    pos_w: Array
    """Proximal joint of every segment [m], (T, 23, 3)."""
    quat_w: Array
    """Segment orientations wxyz, consecutive frames in one hemisphere, (T, 23, 4)."""
    family: str = "parametric"
    """Skeleton family the clip came from."""
    skeleton: Skeleton = MVN

    @property
    def frames(self) -> int:
        return len(self.pos_w)

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last."""
        return (self.frames - 1) / self.fps

    def index_at(self, t_s: float) -> int:
        """Newest frame at or before t_s, held at both ends."""
        return min(max(int(np.floor(t_s * self.fps + 1e-6)), 0), self.frames - 1)

    def pose(self, index: int, *, seq: int, t_ns: int, resets: int = 0) -> HumanPose:
        """One frame as a `HumanPose` (arrays are views: treat as read-only); no deadman, no buttons."""
        valid = np.ones(len(self.skeleton.body_names), dtype=np.bool_)
        return HumanPose(
            self.skeleton, seq, t_ns, t_ns, self.pos_w[index], self.quat_w[index], valid, False, resets, frozenset()
        )

    def frame_at(self, t_s: float, *, t_ns: int = 0) -> HumanPose:
        """The pose at clip time t_s, for lock step; `seq` is the frame index."""
        index = self.index_at(t_s)
        return self.pose(index, seq=index, t_ns=t_ns)


def to_local(pos_w: Array, quat_w: Array) -> tuple[Array, Array]:
    """Offsets in the parent's frame [m] and rotations against the parent, (..., 23, 3) and (..., 23, 4).

    The pelvis keeps its world position and orientation.
    """
    offsets, turns = pos_w.copy(), quat_w.copy()
    child, parent = list(range(1, len(PARENTS))), list(PARENTS[1:])
    back = rot.conjugate(quat_w[..., parent, :])
    offsets[..., child, :] = rot.rotate(back, pos_w[..., child, :] - pos_w[..., parent, :])
    turns[..., child, :] = rot.multiply(back, quat_w[..., child, :])
    return offsets, turns


def to_world(offsets: Array, turns: Array) -> tuple[Array, Array]:
    """Forward kinematics: the inverse of `to_local`."""
    pos_w, quat_w = offsets.copy(), turns.copy()
    for i, p in enumerate(PARENTS):
        if p >= 0:
            pos_w[..., i, :] = pos_w[..., p, :] + rot.rotate(quat_w[..., p, :], offsets[..., i, :])
            quat_w[..., i, :] = rot.multiply(quat_w[..., p, :], turns[..., i, :])
    return pos_w, quat_w
