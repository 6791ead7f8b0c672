"""Joints of two six-joint legs for wanted places of the feet under the pelvis: Gauss-Newton on MuJoCo's Jacobian."""

from __future__ import annotations

import mujoco
import numpy as np

from teleopd.robots.model import Array, RobotModel

ITERATIONS = 6
DAMPING = 1e-6
"""[m^2], [rad^2]: keeps the step finite where a leg is straight."""
MARGIN_RAD = 0.02
"""The solution stays so far inside the joint range."""
LEG_JOINTS = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
SIDES = ("left", "right")


class NoLegs(ValueError):
    """The robot's legs have not the six joints that stepping needs."""

    def __init__(self, robot: str, missing: str) -> None:
        super().__init__(f"{robot} has no joint '{missing}'; gait templates need six joints a leg")


class Legs:
    """Solver with memory: each call starts from the last solution."""

    def __init__(self, model: RobotModel) -> None:
        """Raises:
        NoLegs: the robot has other legs.
        """
        names = [f"{side}_{joint}_joint" for side in SIDES for joint in LEG_JOINTS]
        for name in names:
            if name not in model.joint_names:
                raise NoLegs(model.name, name)
        self.indices = model.indices(names)
        """Motor indices of the left leg's joints, then the right's, (12,)."""
        self._m = mujoco.MjModel.from_xml_path(str(model.mjcf))
        self._d = mujoco.MjData(self._m)
        self._qpos = np.array([self._m.joint(name).qposadr[0] for name in model.joint_names])
        dofs = np.array([self._m.joint(name).dofadr[0] for name in names])
        self._dofs = (dofs[:6], dofs[6:])
        self._feet = tuple(self._m.body(f"{side}_ankle_roll_link").id for side in SIDES)
        self._lower = model.limits.q_lower[self.indices] + MARGIN_RAD
        self._upper = model.limits.q_upper[self.indices] - MARGIN_RAD
        self._jac_pos, self._jac_rot = np.zeros((3, self._m.nv)), np.zeros((3, self._m.nv))
        self._jacobian, self._error = np.zeros((6, 6)), np.zeros(6)
        self._rest = model.q_stand.copy()
        self._q = self._rest.copy()
        self._d.qpos[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
        self._place(self._q)
        self.home_b = np.array([self._d.xpos[foot] for foot in self._feet])
        """Where the ankles are in the stand pose, in the pelvis frame [m], (2, 3)."""

    def reset(self) -> None:
        """Start from the stand pose again."""
        self._q[:] = self._rest

    def solve(self, feet_b: Array, yaw_rad: Array, tilt_rad: float) -> Array:
        """Leg joints for ankles at `feet_b` (2, 3) [m] and soles level, turned by `yaw_rad` (2,).

        Places are in the pelvis frame without its tilt: `tilt_rad` is the pelvis' pitch, about its own origin.
        Returns (12,) [rad] within the joint range; a place out of reach is approached.
        """
        half = 0.5 * tilt_rad
        self._d.qpos[3:7] = np.cos(half), 0.0, np.sin(half), 0.0
        for _ in range(ITERATIONS):
            self._place(self._q)
            largest = 0.0
            for side, foot in enumerate(self._feet):
                largest = max(largest, self._improve(side, foot, feet_b[side], float(yaw_rad[side])))
            if largest < 1e-9:
                break
        return self._q[self.indices]

    def _place(self, q: Array) -> None:
        self._d.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._m, self._d)
        mujoco.mj_comPos(self._m, self._d)

    def _improve(self, side: int, foot: int, place: Array, yaw: float) -> float:
        """One Newton step of one leg; returns the error before it [m, rad]."""
        error = self._error
        error[:3] = place - self._d.xpos[foot]
        rotation = self._d.xmat[foot].reshape(3, 3)
        c, s = np.cos(yaw), np.sin(yaw)
        # Small-angle error of R_wanted R^T, from the cross products of the three axes.
        wanted = np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
        error[3:] = 0.5 * np.cross(rotation.T, wanted.T).sum(axis=0)
        mujoco.mj_jacBody(self._m, self._d, self._jac_pos, self._jac_rot, foot)
        self._jacobian[:3] = self._jac_pos[:, self._dofs[side]]
        self._jacobian[3:] = self._jac_rot[:, self._dofs[side]]
        j = self._jacobian
        step = np.linalg.solve(j.T @ j + DAMPING * np.eye(6), j.T @ error)
        own = slice(6 * side, 6 * side + 6)
        at = self.indices[own]
        self._q[at] = np.clip(self._q[at] + np.clip(step, -0.3, 0.3), self._lower[own], self._upper[own])
        return float(np.abs(error).max())
