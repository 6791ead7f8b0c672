"""Where feet, soles and capsules of a robot lie over a whole motion: the geometry that artifacts are measured on.

Capsules are the robot's own collision bodies (group 3 of its MJCF, and hands that are spheres). The G1's hand is cut at
the end of its collision hull, as published hand figures have it; the rubber hand beyond it is judged separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import mujoco
import numpy as np

from teleopd.robots.model import Array, IntArray, RobotModel
from teleopd.service.retarget.kinematics import add_hand_points

SHORT_HANDS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "unitree_g1": ((0.0, 0.0, 0.0), (0.045, 0.0, 0.0)),
}
"""Robot -> ends of its hand capsule in the hand body's frame [m]: the collision hull without the rubber hand."""
TOES = ("left_toe", "right_toe")
SPHERE, CAPSULE = int(mujoco.mjtGeom.mjGEOM_SPHERE), int(mujoco.mjtGeom.mjGEOM_CAPSULE)


class Shape(NamedTuple):
    """A motion's geometry in the world; N frames."""

    body_pos: Array
    """Origins of all bodies [m], (N, nbody, 3); columns as in `RobotShape.body_names`."""
    body_quat: Array
    """Orientations wxyz, (N, nbody, 4)."""
    toes: Array
    """Toe points, left and right [m], (N, 2, 3)."""
    soles: Array
    """Height of the lowest point of each sole corner, left and right [m], (N, 2, k)."""
    capsules: Array
    """Both ends of every capsule's axis [m], (N, c, 2, 3)."""


class RobotShape:
    """Forward kinematics of one robot, frame by frame."""

    def __init__(self, robot: RobotModel) -> None:
        """Raises ValueError where the MJCF has no toe site or no sole site."""
        self.robot = robot
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        add_hand_points(spec, robot)
        model = self.model = spec.compile()
        self._data = mujoco.MjData(model)
        self.body_names: tuple[str, ...] = tuple(model.body(i).name for i in range(model.nbody))
        self._joints: IntArray = np.array([int(model.joint(name).qposadr[0]) for name in robot.joint_names])
        self._toes = [self._site(name) for name in TOES]
        self._sole_sites = [self._site(name) for name in robot.sole_sites]
        self._sole_geoms = [self._sphere(name) for name in robot.sole_sites]
        names, ends, bodies, radii = self._find_capsules()
        self.capsule_names: tuple[str, ...] = names
        """Names of the capsules, as the MJCF names them; '*_hand_long' is the hand with its rubber hand."""
        self.radii: Array = radii
        """(c,) [m]"""
        self._ends, self._capsule_bodies = ends, bodies

    def _site(self, name: str) -> int:
        found = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SITE, name)
        if found < 0:
            raise ValueError(f"{self.robot.mjcf}: has no site '{name}'")
        return int(found)

    def _sphere(self, name: str) -> int:
        """The sole's contact sphere of the same name, or -1."""
        found = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_GEOM, name)
        return int(found) if found >= 0 and int(self.model.geom_type[found]) == SPHERE else -1

    def _find_capsules(self) -> tuple[tuple[str, ...], Array, IntArray, Array]:
        """Names, ends in the body's frame (c, 2, 3), bodies (c,) and radii (c,)."""
        model, names, ends, bodies, radii = self.model, [], [], [], []
        for i in range(model.ngeom):
            name, kind = model.geom(i).name, int(model.geom_type[i])
            if model.geom_group[i] != 3 or not name or i in self._sole_geoms:
                continue
            if kind not in (CAPSULE, SPHERE):
                continue
            half = float(model.geom_size[i, 1]) if kind == CAPSULE else 0.0
            axis = np.empty(3)
            mujoco.mju_rotVecQuat(axis, np.array([0.0, 0.0, half]), model.geom_quat[i])
            pair = np.array([model.geom_pos[i] - axis, model.geom_pos[i] + axis])
            short = SHORT_HANDS.get(self.robot.name)
            entries = [(name, pair)]
            if name in ("left_hand", "right_hand") and short is not None:
                entries = [(name, np.array(short)), (f"{name}_long", pair)]
            for label, both in entries:
                names.append(label)
                ends.append(both)
                bodies.append(int(model.geom_bodyid[i]))
                radii.append(float(model.geom_size[i, 0]))
        return tuple(names), np.array(ends), np.array(bodies, dtype=np.intp), np.array(radii)

    def body_ids(self, names: tuple[str, ...] | list[str]) -> list[int]:
        """Columns of `Shape.body_pos`; ValueError for a body the robot does not have."""
        for name in names:
            if name not in self.body_names:
                raise ValueError(f"{self.robot.name} has no body '{name}'; it has: {', '.join(self.body_names[1:])}")
        return [self.body_names.index(name) for name in names]

    def capsule_ids(self, *words: str) -> list[int]:
        """Capsules whose name, without its side, is one of `words`."""
        bare = [name.removeprefix("left_").removeprefix("right_") for name in self.capsule_names]
        return [i for i, name in enumerate(bare) if name in words]

    def over(self, qpos: Array) -> Shape:
        """The geometry of a motion; `qpos` (N, 7 + n): root position, root wxyz, joints in motor order."""
        model, data, n = self.model, self._data, len(qpos)
        pos, quat = np.empty((n, model.nbody, 3)), np.empty((n, model.nbody, 4))
        toes, sites = np.empty((n, 2, 3)), np.empty((n, len(self._sole_sites)))
        ends = np.empty((n, len(self._ends), 2, 3))
        spheres = [(k, g) for k, g in enumerate(self._sole_geoms) if g >= 0]
        columns, geoms = [k for k, _ in spheres], [g for _, g in spheres]
        sizes = model.geom_size[geoms, 0]
        for i, frame in enumerate(qpos):
            data.qpos[:7] = frame[:7]
            data.qpos[self._joints] = frame[7:]
            mujoco.mj_kinematics(model, data)
            pos[i], quat[i] = data.xpos, data.xquat
            toes[i] = data.site_xpos[self._toes]
            sites[i] = data.site_xpos[self._sole_sites, 2]
            sites[i, columns] = data.geom_xpos[geoms, 2] - sizes
            turns = data.xmat[self._capsule_bodies].reshape(-1, 3, 3)
            ends[i] = data.xpos[self._capsule_bodies, None] + np.einsum("cij,cej->cei", turns, self._ends)
        return Shape(pos, quat, toes, sites.reshape(n, 2, -1), ends)
