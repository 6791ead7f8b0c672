"""The robot reduced to what inverse kinematics needs: the tree of bodies and joints, addressed by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray, RobotModel


class Kinematics:
    """A compiled model without geometry, and where its joints lie in qpos and qvel."""

    def __init__(self, robot: RobotModel) -> None:
        """Compile `robot.mjcf` without geoms, meshes, actuators and sensors.

        Raises:
            ValueError: the MJCF has no free root joint or lacks a joint of the robot.
        """
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        for group in (spec.geoms, spec.meshes, spec.actuators, spec.sensors, spec.keys, spec.excludes, spec.pairs):
            for item in list(group):
                spec.delete(item)
        self.robot = robot
        self.model = spec.compile()
        free = [j for j in range(self.model.njnt) if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE]
        if free != [0] or self.model.nq != 7 + robot.n:
            raise ValueError(f"{robot.mjcf}: needs one free root joint and {robot.n} hinges, first the free one")
        ids = [mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        missing = [name for name, i in zip(robot.joint_names, ids, strict=True) if i < 0]
        if missing:
            raise ValueError(f"{robot.mjcf}: has no joint '{missing[0]}'")
        self.qpos_index: IntArray = self.model.jnt_qposadr[ids].astype(np.intp)
        """Where each joint, in motor order, lies in qpos, (n,)."""
        self.dof_index: IntArray = self.model.jnt_dofadr[ids].astype(np.intp)
        """Where each joint, in motor order, lies in qvel, (n,)."""
        self.body_names: tuple[str, ...] = tuple(self.model.body(i).name for i in range(1, self.model.nbody))

    def body_ids(self, names: Sequence[str]) -> IntArray:
        """Ids of bodies, in the order given.

        Raises:
            ValueError: there is no such body.
        """
        ids = [mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, name) for name in names]
        for name, i in zip(names, ids, strict=True):
            if i < 0:
                raise ValueError(f"{self.robot.name} has no body '{name}'; it has: {', '.join(self.body_names)}")
        return np.array(ids, dtype=np.intp)

    def qpos(self, root_pos_w: Array, root_quat_w: Array, q: Array) -> Array:
        """A configuration from its parts; `q` in motor order."""
        qpos = np.empty(self.model.nq)
        qpos[:3], qpos[3:7] = root_pos_w, root_quat_w
        qpos[self.qpos_index] = q
        return qpos

    def named_pose(self, joints: Mapping[str, float]) -> Array:
        """Joint positions in motor order [rad], 0 where a joint is not named; UnknownJoint for a foreign name."""
        q = np.zeros(self.robot.n)
        q[self.robot.indices(list(joints))] = list(joints.values())
        return q

    def bodies(self, q: Array) -> tuple[Array, Array]:
        """Positions (nbody, 3) and orientations wxyz (nbody, 4) of all bodies, root at the origin, identity heading."""
        data = mujoco.MjData(self.model)
        data.qpos[:] = self.qpos(np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), q)
        mujoco.mj_kinematics(self.model, data)
        return np.array(data.xpos), np.array(data.xquat)
