"""Feet on the ground: from where the person's feet are to what the robot's feet may do, one frame after the other.

Targets are corrected in place: the whole body and each foot move vertically until the robot's sole has the clearance
that the person's foot has, and a foot that lies flat for the person lies flat for the robot. What the solver adds for
feet that stand (`toe_lock.py`) stays outside the targets: it is an offset from them, not a change of what is wanted.
In falls, crawling and lying nothing is locked; in flight nothing is held down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from teleopd.drivers.human_pose import HumanPose
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.floor import (
    STANDING_CLEARANCE_M,
    GroundCorrection,
    SourceFloor,
    clearance,
    smoothstep,
)
from teleopd.service.retarget.foot import FootContact, RobotFoot
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.stance import STANDS_M_S, Point, following
from teleopd.service.retarget.targets import MIN_HORIZONTAL, TargetMap, Targets
from teleopd.service.retarget.toe_lock import followed

UPRIGHT_HEIGHT, UPRIGHT_UP = 0.35, 0.4
"""Upright: pelvis above this share of its standing height, and its up axis at least this far up."""
SHIFTED_BELOW, SHIFTED_ABOVE = 0.3, 0.6
"""The common ground shift fades out between these pelvis heights: lying bodies have no feet to stand on."""
SETTLES_M = 0.002
"""A sole that would enter the floor by less is left to the solver [m]."""
FLATTEN_S = 0.05
"""Time constant of the flattening [s]."""
SIDEWAYS_S = 0.08
"""Time constant of the direction in which a foot that does not stand is moved sideways [s]."""


class Contacts:
    """Both feet of one operator on one robot."""

    def __init__(
        self, target_map: TargetMap, kinematics: Kinematics, calibration: Calibration, feet: list[tuple[int, int]]
    ) -> None:
        """`feet`: toe and ankle among the skeleton's bodies, left first."""
        self._points, self._scale = np.array(feet).reshape(-1), target_map.leg_scale
        self._root, self._standing_m = target_map.root_row, kinematics.robot.stand_height_m
        self.feet = tuple(
            FootContact(
                row, body, soles, target_map.sole_radius_m,
                self._scale * (calibration.rest_pos[toe] - calibration.rest_pos[ankle]),
                SourceFloor(calibration.floor_z, calibration.ankle_z), self._scale,
            )
            for (row, body, soles), (toe, ankle) in zip(target_map.foot_soles(), feet, strict=True)
        )  # fmt: skip
        """Left first."""
        self._rows = np.array([self._root, *(foot.row for foot in self.feet)])
        self._ground = GroundCorrection()
        self.upright = True
        self.sideways: dict[int, tuple[float, float]] = {}
        """Foot's row -> where `TargetMap` is to move it sideways, world xy: to the pelvis' left as it was when the foot
        came to rest. The foot's own left swings a foot that pivots about (an H1's by 13 cm), the pelvis' present left
        one that stands."""

    def reset(self) -> None:
        """Forget the motion, keep the floor."""
        self.sideways.clear()
        self._ground.reset()
        for foot in self.feet:
            foot.reset()

    def update(self, pose: HumanPose, targets: Targets, robot_feet: Sequence[RobotFoot] | None, dt_s: float) -> None:
        """Correct this frame's targets in place and decide the locks.

        `robot_feet`: the robot's own in the previous frame; None where there is none: then nothing is locked.
        `dt_s` since that frame [s].
        """
        points, seen = pose.pos_w.take(self._points, axis=0).tolist(), pose.valid.take(self._points).tolist()
        # root, left foot, right foot
        pos, quat = targets.pos.take(self._rows, axis=0).tolist(), targets.quat.take(self._rows, axis=0).tolist()
        _, x, y, _ = quat[0]
        height = pos[0][2] / self._standing_m
        self.face(quat[0], dt_s)
        self.upright = height > UPRIGHT_HEIGHT and 1.0 - 2.0 * (x * x + y * y) > UPRIGHT_UP
        follow, flattening = following(dt_s), 1.0 - math.exp(-dt_s / FLATTEN_S)
        lacking, standing = [0.0, 0.0], [False, False]
        toes: list[Point | None] = [None, None]
        for k, foot in enumerate(self.feet):
            if not (seen[2 * k] and seen[2 * k + 1]):
                continue
            toe, ankle = points[2 * k], points[2 * k + 1]
            speed = foot.toe_speed.update(toe, follow, dt_s), foot.ankle_speed.update(ankle, follow, dt_s)
            _, x, y, _ = turned = quat[k + 1]
            up = 1.0 - 2.0 * (x * x + y * y)
            tilt = math.acos(-1.0 if up < -1.0 else 1.0 if up > 1.0 else up)
            foot.floor.update(toe[2], ankle[2], speed, tilt, self.upright, dt_s)
            ankle_floor = min([f.floor.ankle_z for f in self.feet])  # a raised heel held still would pass for flat
            above = toe[2] - foot.floor.toe_z, ankle[2] - ankle_floor
            foot.stance.update(foot.toe_speed, above[0], self.upright)
            flat = foot.flatten(turned, tilt, above, self.upright, flattening)
            low, toe, moved = foot.place(turned, flat)
            toes[k], quat[k + 1] = foot.hold_turn(toe, flat, None if robot_feet is None else robot_feet[k], dt_s)
            pos[k + 1][0] += moved[0]
            pos[k + 1][1] += moved[1]
            wanted = clearance(*above, self._scale)
            lacking[k] = wanted - pos[k + 1][2] - low
            standing[k] = speed[0] < STANDS_M_S and wanted < STANDING_CLEARANCE_M
        shift = self._ground.whole_body(lacking, standing, dt_s) * smoothstep(height, SHIFTED_BELOW, SHIFTED_ABOVE)
        targets.pos[:, 2] += shift
        for k, foot in enumerate(self.feet):
            self._lock(foot, pos[k + 1], toes[k], None if robot_feet is None else robot_feet[k].toe, dt_s)
            pos[k + 1][2] += shift + (self._ground.of_foot(lacking[k], shift) if toes[k] is not None else 0.0)
            if robot_feet is not None:  # an ankle at its limits turns its foot otherwise: what is asked fits that too
                pos[k + 1][2] = max(pos[k + 1][2], -robot_feet[k].low_m - SETTLES_M)
            targets.pos[foot.row], targets.quat[foot.row] = pos[k + 1], quat[k + 1]

    def face(self, pelvis: Point, dt_s: float) -> None:
        """Turn `sideways` of the feet that do not stand towards the left of the pelvis, wxyz."""
        w, x, y, z = pelvis
        x, y = 2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z)
        k = 1.0 / max(math.hypot(x, y), MIN_HORIZONTAL)
        x, y = k * x, k * y
        for foot in self.feet:
            a, b = self.sideways.get(foot.row, (x, y))
            free = followed(foot.stance.pace_m_s) if foot.stance.stands else 1.0
            share = free * (1.0 - math.exp(-dt_s / SIDEWAYS_S))
            self.sideways[foot.row] = a + share * (x - a), b + share * (y - b)

    @staticmethod
    def _lock(
        foot: FootContact, at: Point, toe: Point | None, robot_toe: tuple[float, float] | None, dt_s: float
    ) -> None:
        """One foot's lock: its target at `at`, the target's toe from there, the robot's toe of the frame before."""
        target = foot.target_toe if toe is None else (at[0] + toe[0], at[1] + toe[1])
        stands = foot.stance.stands and toe is not None and robot_toe is not None
        foot.lock.update(stands, target, robot_toe if robot_toe is not None else target, dt_s, foot.stance.pace_m_s)
        foot.target_toe = target
        foot.wanted_toe = target[0] + foot.lock.x, target[1] + foot.lock.y
