"""Feet on the ground: from where the person's feet are to what the robot's feet may do, one frame after the other.

Targets are corrected in place: the whole body and each foot move vertically until the robot's sole has the clearance
that the person's foot has, and a foot that lies flat for the person lies flat for the robot. What the solver adds for
feet that stand (`toe_lock.py`) stays outside the targets: it is an offset from them, not a change of what is wanted.
In falls, crawling and lying nothing is locked; in flight nothing is held down.
"""

from __future__ import annotations

import math

import numpy as np

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.model import Array
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.floor import Ground, SourceFloor
from teleopd.service.retarget.foot import FootContact, Quat, forget_foot, matrix
from teleopd.service.retarget.grounding import face, stand
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.stance import Point
from teleopd.service.retarget.targets import TargetMap, Targets

SEAT = ("pelvis", "left_hip", "right_hip")
"""Capsules that touch the floor when a robot sits."""
SEATED_RAD = -0.5 * math.pi
"""Pitch of the hips of who sits; the hips' capsules turn with it by up to 8 cm."""


def seat_of(kinematics: Kinematics) -> list[Point]:
    """Spheres at the ends of these capsules as the robot sits: centres in the pelvis' frame, and radii [m]."""
    limits = kinematics.robot.limits
    q = np.array([SEATED_RAD if "hip_pitch" in name else 0.0 for name in kinematics.robot.joint_names])
    pos, quat = kinematics.bodies(np.clip(q, limits.q_lower, limits.q_upper))
    model, balls = kinematics.model, []
    for geom, name in enumerate(kinematics.capsule_names):
        if name in SEAT:
            body = int(model.geom_bodyid[geom])
            along = np.array(matrix(tuple(model.geom_quat[geom].tolist())))[2::3] * kinematics.half_lengths[geom]
            turn = np.array(matrix(tuple(quat[body].tolist()))).reshape(3, 3)
            for end in (model.geom_pos[geom] - along, model.geom_pos[geom] + along):
                balls.append([*(pos[body] + turn @ end).tolist(), float(kinematics.radii[geom])])
    return balls


class Contacts:
    """Both feet of one operator on one robot."""

    def __init__(
        self, target_map: TargetMap, kinematics: Kinematics, calibration: Calibration, feet: list[tuple[int, int]]
    ) -> None:
        """`feet`: toe and ankle among the skeleton's bodies, left first."""
        scale, seat = target_map.leg_scale, seat_of(kinematics)
        self._points, self._root = np.array(feet).reshape(-1), target_map.root_row
        self.feet = tuple(
            FootContact.of(
                row, body, soles, target_map.sole_radius_m,
                scale * (calibration.rest_pos[toe] - calibration.rest_pos[ankle]),
                SourceFloor(calibration.floor_z, calibration.ankle_z), scale,
            )
            for (row, body, soles), (toe, ankle) in zip(target_map.foot_soles(), feet, strict=True)
        )  # fmt: skip
        """Left first."""
        self.ground = Ground(kinematics.robot.stand_height_m, scale, seat)
        self._rows = np.array([self._root, *(foot.row for foot in self.feet)])
        self.sideways: Array = np.full((len(feet), 2), math.nan)
        """Where `TargetMap` is to move each foot sideways, world xy: to the pelvis' left as it was when the foot came
        to rest. The foot's own left swings a foot that pivots about (an H1's by 13 cm), the pelvis' present left one
        that stands."""

    @property
    def upright(self) -> bool:
        """Else the person falls, lies or crawls."""
        return self.ground.upright

    def reset(self) -> None:
        """Forget the motion, and where the robot's feet were; keep the floor and what is known of the noise."""
        self.ground.started = False
        for foot in self.feet:
            forget_foot(foot)

    def update(self, pose: HumanPose, targets: Targets, dt_s: float) -> None:
        """Correct this frame's targets in place and decide the locks, `dt_s` after the last frame [s].

        Nothing is locked where the solver has not said yet where the robot's feet are (`FootContact.robot`).
        """
        points, seen = pose.pos_w.take(self._points, axis=0).tolist(), pose.valid.take(self._points).tolist()
        # root, left foot, right foot
        pos, quat = targets.pos.take(self._rows, axis=0).tolist(), targets.quat.take(self._rows, axis=0).tolist()
        for k, foot in enumerate(self.feet):
            foot.seen = seen[2 * k] and seen[2 * k + 1]
            foot.human_toe_w, foot.human_ankle_w = points[2 * k], points[2 * k + 1]
            foot.pos, foot.quat = pos[k + 1], quat[k + 1]
        shift, pelvis_z = stand(self.ground, self.feet, quat[0], pos[0][2], dt_s)
        targets.pos[:, 2] += shift
        targets.pos[self._root, 2] = pelvis_z
        for k, foot in enumerate(self.feet):
            targets.pos[foot.row], targets.quat[foot.row] = foot.pos, foot.quat
            self.sideways[k] = foot.left

    def face(self, pelvis: Quat, dt_s: float) -> None:
        """Turn `sideways` of the feet that do not stand towards the left of the pelvis, wxyz."""
        face(self.feet, pelvis, dt_s)
        self.sideways[:] = [foot.left for foot in self.feet]
