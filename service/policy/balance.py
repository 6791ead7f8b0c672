"""Where a robot's centre of mass is over its feet and how fast it moves there, by its own model and joint sensors.

No odometry: the pelvis is the origin, and velocities are against the feet, which stand while anything depends on
them. Masses are the MJCF's: what a robot carries is not known here.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy.errors import NoBody

WIDTH = 7
"""Centre of mass x, y, z [m], its velocity x, y [m/s], left ankle x, y [m]; from mid-way between the ankles."""


class Balance:
    """Forward kinematics of one robot. Holds MuJoCo data of its own; not for two threads."""

    def __init__(self, model: RobotModel, feet: tuple[str, str]) -> None:
        """`feet`: MJCF bodies of the left and the right foot, whose origin is the ankle.

        Raises:
            NoBody: the MJCF has no such body.
        """
        m: Any = mujoco.MjModel.from_xml_path(str(model.mjcf))
        self._m, self._d = m, mujoco.MjData(m)
        self._qpos = np.array([m.joint(name).qposadr[0] for name in model.joint_names])
        self._qvel = np.array([m.joint(name).dofadr[0] for name in model.joint_names])
        self._root = m.body(model.root_body).id
        for name in feet:
            if mujoco.mj_name2id(m, mujoco.mjtObj.mjOBJ_BODY, name) < 0:
                raise NoBody(model.name, name, [m.body(i).name for i in range(1, m.nbody)])
        self._feet = [m.body(name).id for name in feet]
        self._velocity, self._out = np.zeros(6), np.zeros(WIDTH)

    def read(self, gravity_b: Array, gyro_b: Array, q: Array, dq: Array) -> Array:
        """The seven numbers in the heading frame, (7,): a buffer that the next call overwrites.

        `gravity_b` unit vector and `gyro_b` [rad/s] in the pelvis frame; `q` [rad], `dq` [rad/s] in motor order.
        """
        m, d, out = self._m, self._d, self._out
        gx, gy, gz = gravity_b.tolist()
        roll, pitch = 0.5 * math.atan2(-gy, -gz), 0.5 * math.atan2(gx, math.hypot(gy, gz))
        cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
        d.qpos[:7] = 0.0, 0.0, 0.0, cp * cr, cp * sr, sp * cr, -sp * sr
        d.qpos[self._qpos] = q
        d.qvel[:3], d.qvel[3:6] = 0.0, gyro_b
        d.qvel[self._qvel] = dq
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_comVel(m, d)
        mujoco.mj_subtreeVel(m, d)
        left, right = (d.xpos[foot] for foot in self._feet)
        middle = 0.5 * (left + right)
        moves = np.zeros(2)
        for foot in self._feet:
            mujoco.mj_objectVelocity(m, d, mujoco.mjtObj.mjOBJ_XBODY, foot, self._velocity, 0)
            moves += 0.5 * self._velocity[3:5]
        out[:3] = d.subtree_com[self._root] - middle
        out[3:5] = d.subtree_linvel[self._root][:2] - moves
        out[5:] = (left - middle)[:2]
        return out
