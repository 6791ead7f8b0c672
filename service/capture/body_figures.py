"""What the robot's own joints say about an episode: parts of it that touch each other, feet that slide.

Both are judged a few times a second from measured joints and the IMU, in a few per cent of a core.
"""

from __future__ import annotations

import functools

import mujoco
import numpy as np

from teleopd.robots.capsules import Capsules
from teleopd.robots.model import Array, RobotModel

TOUCH_EVERY_S, SLIP_EVERY_S = 0.1, 0.02
TOUCH_M = 0.0
"""Capsules that `keep_apart` (retarget.toml) names and that are this near touch each other [m]."""
FLAT_M, LEVEL_M = 0.008, 0.010
"""A foot stands flat when its lowest point is so near to the floor and its points so near to one height [m]."""
SURE = 3
"""Looks at the beginning and at the end of a stand on both feet that do not count: touch-down and lift-off."""
SLIP_M = 0.02
"""The feet moved apart by this while both stood: one of them slid."""


WINDOW = 50
"""Looks, one second, over which a slide is looked for: the IMU's heading drifts over a longer stand."""


@functools.cache
def _compiled(path: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(path)


class TouchMeter:
    """How often parts of the robot touch."""

    def __init__(self, robot: RobotModel) -> None:
        self._capsules = Capsules(robot)
        self.looks = self.touches = 0

    def look(self, q: Array) -> None:
        """Joints (n,) [rad] at one instant."""
        if len(self._capsules.pairs):
            self.looks += 1
            self.touches += bool(self._capsules.gaps(q).min() < TOUCH_M)


class SlipMeter:
    """Slides of the feet. Seen only while both soles are flat on the floor: then they cannot move against each other.

    No robot measures where it is, so a foot that slides while the other is in the air is not seen here.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._model = _compiled(str(robot.mjcf))
        self._data = mujoco.MjData(self._model)
        named = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        self._q_at = self._model.jnt_qposadr[named]
        root = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_BODY, robot.root_body)
        self._root_at = int(self._model.jnt_qposadr[self._model.body_jntadr[root]])
        self._feet = [
            [self._model.site(site).id for site in robot.sole_sites if side in site] for side in ("left", "right")
        ]
        self._apart: list[Array] = []
        """Between the feet, horizontally, at each look of this stand [m]."""
        self.slips = 0

    def look(self, q: Array, quat_w: Array) -> None:
        """Joints (n,) [rad] and the pelvis' orientation wxyz at one instant, `SLIP_EVERY_S` after the last."""
        apart = self._between(q, quat_w)
        if apart is None:
            self._apart = []
            return
        self._apart = [*self._apart[-WINDOW:], apart]
        if len(self._apart) > 2 * SURE:
            moved = float(np.linalg.norm(self._apart[-1 - SURE] - self._apart[SURE]))
            if moved > SLIP_M:
                self.slips += 1
                self._apart = self._apart[-1 - SURE - SURE :]

    def lost(self) -> None:
        """Time is missing: the next look begins anew."""
        self._apart = []

    def _between(self, q: Array, quat_w: Array) -> Array | None:
        """From the right foot to the left on the floor, (2,) [m] in the IMU's world; None unless both stand flat."""
        at = self._root_at
        self._data.qpos[at : at + 3] = 0.0
        self._data.qpos[at + 3 : at + 7] = quat_w
        self._data.qpos[self._q_at] = q
        mujoco.mj_kinematics(self._model, self._data)
        left, right = (self._data.site_xpos[foot] for foot in self._feet)
        floor = min(left[:, 2].min(), right[:, 2].min())
        for foot in (left, right):
            if foot[:, 2].min() - floor > FLAT_M or np.ptp(foot[:, 2]) > LEVEL_M:
                return None
        between: Array = (left.mean(axis=0) - right.mean(axis=0))[:2]
        return between
