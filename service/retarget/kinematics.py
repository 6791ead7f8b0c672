"""The robot reduced to what inverse kinematics needs: bodies and joints by name, and the capsules that touch.

Capsules are kept with a radius of `THIN_M`, their own beside them in `radii`: distances are then taken between axes,
so that the direction between two capsules stays defined when they overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray, RobotModel

THIN_M = 1e-4
TOUCHING = (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_SPHERE)


class Kinematics:
    """A compiled model with no geometry but capsules, and where its joints lie in qpos and qvel."""

    def __init__(self, robot: RobotModel) -> None:
        """Compile `robot.mjcf` without meshes, actuators, sensors and geoms other than named capsules and spheres.

        Raises:
            ValueError: the MJCF has no free root joint or lacks a joint of the robot.
        """
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        add_hand_points(spec, robot)
        for group in (spec.meshes, spec.actuators, spec.sensors, spec.keys, spec.excludes, spec.pairs):
            for item in list(group):
                spec.delete(item)
        spheres = {geom.name: geom for geom in spec.geoms if geom.name in robot.sole_sites}
        self.sole_radius_m = max((float(geom.size[0]) for geom in spheres.values()), default=0.0)
        """Of the spheres that the soles stand on [m]; 0 where they are points."""
        self.sole_centres: dict[str, list[float]] = {
            site.name: [float(x) for x in (spheres[site.name] if site.name in spheres else site).pos]
            for site in spec.sites if site.name in robot.sole_sites
        }  # fmt: skip
        """Sole site -> centre of its sphere in the foot's frame [m]."""
        for geom in list(spec.geoms):
            if not geom.name or geom.name in robot.sole_sites or geom.type not in TOUCHING:
                spec.delete(geom)
        self.robot = robot
        self.model = spec.compile()
        self.radii: Array = np.array(self.model.geom_size[:, 0])
        """Of the capsules, in geom order [m]."""
        self.half_lengths: Array = np.where(self.model.geom_type == TOUCHING[0], self.model.geom_size[:, 1], 0.0)
        """From a capsule's centre to the centres of its ends [m]."""
        self.capsule_names: tuple[str, ...] = tuple(self.model.geom(i).name for i in range(self.model.ngeom))
        self.model.geom_size[:, 0] = THIN_M
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

    def joints_above(self, body: int, count: int) -> list[int]:
        """The nearest hinges, at most `count`, between a body and the root; indices in motor order."""
        found: list[int] = []
        while body > 1 and len(found) < count:
            first, many = int(self.model.body_jntadr[body]), int(self.model.body_jntnum[body])
            for joint in range(first + many - 1, first - 1, -1):
                found += np.flatnonzero(self.qpos_index == self.model.jnt_qposadr[joint]).tolist()
            body = int(self.model.body_parentid[body])
        return found[:count]

    def moved_by(self) -> Array:
        """1 where a degree of freedom moves a body, 0 where it does not, (nbody, nv)."""
        model = self.model
        moved: Array = np.zeros((model.nbody, model.nv))
        for body in range(1, model.nbody):
            first, many = int(model.body_dofadr[body]), int(model.body_dofnum[body])
            moved[body] = moved[model.body_parentid[body]]
            moved[body, first : first + many] = 1.0
        return moved

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


def add_hand_points(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Make bodies, without mass, of wrist key sites that lie away from their body: the hands of robots without wrists.

    The body has the name of its site, so that tables can match it like any other.
    """
    for name in robot.key_sites:
        site = spec.site(name) if name.endswith("_wrist") else None
        if site is not None and np.linalg.norm(site.pos) > 0.0:
            site.parent.add_body(name=name, pos=site.pos, quat=site.quat)
