"""How an operator's body relates to the robot's: segment lengths, floor, heading, and rotation offsets.

Canonical segment frames are identity in the T-pose, so turning each bone back by its own segment's orientation gives
the operator's T-pose from *any* posture: one frame is enough, whatever the operator is doing in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.model import Array
from teleopd.service.retarget import quaternions as quat
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.tables import HumanBodies

LEG_M = (0.4, 1.4)
"""Believed hip-to-ankle lengths [m]: 1.0 m to 2.5 m tall people, legs 0.4 to 0.56 of the height."""


class CalibrationError(ValueError):
    """A pose from which the operator's body cannot be measured: says which body or length is wrong."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One operator's body and where they stood when it was measured."""

    family: str
    rest_pos: Array
    """T-pose body positions relative to the pelvis, facing +X [m], (n, 3)."""
    floor_z: float
    """Height of the balls of the feet on the floor [m]."""
    yaw_rad: float
    """Heading of the operator at calibration; becomes the robot's +X."""
    origin_xy: Array
    """Point between the hips at calibration [m], (2,); becomes the robot's origin."""
    leg_m: float
    """Hip to ankle, straight, mean of both [m]."""
    ankle_m: float
    """Ankle above the ball of the foot when the foot is flat [m], mean of both."""

    @property
    def ankle_z(self) -> float:
        """World height of the ankle of a flat foot on the floor [m]."""
        return self.floor_z + self.ankle_m

    @classmethod
    def from_pose(cls, pose: HumanPose, table: HumanBodies) -> Calibration:
        """Measure the operator from one frame in any upright posture; T- and N-pose serve equally.

        Raises:
            CalibrationError: a body is not tracked, or the legs are not a person's.
        """
        names = pose.skeleton.body_names
        if not pose.valid.all():
            lost = [name for name, good in zip(names, pose.valid, strict=True) if not good]
            raise CalibrationError(f"calibration needs every body tracked; not tracked: {', '.join(lost)}")
        rest = rest_positions(pose, table.pelvis)
        at = {name: i for i, name in enumerate(names)}
        hips, feet, toes = ([at[name] for name in pair] for pair in (table.hips, table.feet, table.toes))
        leg = float(np.mean(rest[hips, 2] - rest[feet, 2]))
        if not LEG_M[0] <= leg <= LEG_M[1]:
            hint = "; are the positions in centimetres?" if leg > 10.0 else ""
            raise CalibrationError(
                f"the operator's legs measure {leg:.3g} m; between {LEG_M[0]} and {LEG_M[1]} m is believed{hint}"
            )
        ankle = float(np.mean(rest[feet, 2] - rest[toes, 2]))
        floor = float(min(pose.pos_w[toes, 2].min(), pose.pos_w[feet, 2].min() - ankle))
        heading = quat.yaw(pose.quat_w[at[table.pelvis]])
        return cls(pose.skeleton.family, rest, floor, heading, pose.pos_w[hips, :2].mean(axis=0), leg, ankle)


def rest_positions(pose: HumanPose, pelvis: str) -> Array:
    """T-pose positions of all bodies relative to the pelvis, facing +X [m], (n, 3).

    Raises:
        CalibrationError: the family's bone tree is not known or does not reach a body.
    """
    family, names = pose.skeleton.family, pose.skeleton.body_names
    if not pose.skeleton.parents:
        raise CalibrationError(f"the source describes no bone tree for its skeleton '{family}'")
    at = {name: i for i, name in enumerate(names)}
    rest = np.full((len(names), 3), np.nan)
    rest[at[pelvis]] = 0.0
    for child, parent in pose.skeleton.parents.items():  # parents come first
        c, p = at[child], at[parent]
        rest[c] = rest[p] + quat.rotate(pose.quat_w[p] * quat.CONJUGATE, pose.pos_w[c] - pose.pos_w[p])
    if not np.isfinite(rest).all():
        bad = [name for name, row in zip(names, rest, strict=True) if not np.isfinite(row).all()]
        raise CalibrationError(f"the positions of {', '.join(bad)} are not finite or not part of the bone tree")
    return rest


@dataclass(frozen=True, slots=True)
class RobotRest:
    """The robot in the T-pose, facing +X, relative to its pelvis body."""

    pos: Array
    """Body positions [m], (nbody, 3)."""
    quat: Array
    """Body orientations, wxyz, (nbody, 4)."""

    @classmethod
    def of(cls, kinematics: Kinematics, t_pose: Mapping[str, float]) -> RobotRest:
        """Forward kinematics of the T-pose; UnknownJoint where `t_pose` names a foreign joint."""
        return cls(*kinematics.bodies(kinematics.named_pose(t_pose)))

    def offset(self, body: int, human_rest_quat: Array | None = None) -> Array:
        """Rotation offset of one body: human_rest^-1 * robot_rest, headings aligned, wxyz with w >= 0, (4,).

        A target orientation is human * offset. Canonical frames rest at identity, which is the default.
        """
        offset = np.array(self.quat[body])
        if human_rest_quat is not None:
            offset = quat.multiply(human_rest_quat * quat.CONJUGATE, offset)
        return -offset if offset[0] < -1e-12 else offset
