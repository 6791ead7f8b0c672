"""Where a body of the robot is, from the pelvis through the joints between: plain floats along one chain.

The torso is three joints from the pelvis and a hand's elbow seven: walking the chain is quicker than a whole-body
pass and needs no simulator at run time. MuJoCo only reads the robot's MJCF, once.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy.attitude import Quat, Vector, conjugate, multiply, rotate
from teleopd.service.policy.errors import NoBody


class _Link(NamedTuple):
    pos: Vector
    """In the parent [m]."""
    quat: Quat
    axis: Vector
    """Of the hinge, in the link; zero without one."""
    joint: int
    """Of the joint in motor order; -1 without one."""


class Chain:
    """The bodies from the root to one body."""

    def __init__(self, model: RobotModel, body: str) -> None:
        """Raises:
        NoBody: the robot's MJCF has no such body.
        """
        self.body = body
        self._links = _links(model.mjcf, body, model.root_body, model.joint_names, model.name)

    def quat(self, root_quat: Quat, q: Array) -> Quat:
        """Orientation of the body for the root's, (4,) wxyz."""
        quat = root_quat
        for link in self._links:
            quat = multiply(multiply(quat, link.quat), _hinge(link, q))
        return quat

    def pose(self, root_pos: Vector, root_quat: Quat, q: Array) -> tuple[Vector, Quat]:
        """Position [m] and orientation of the body in the world."""
        (x, y, z), quat = root_pos, root_quat
        for link in self._links:
            dx, dy, dz = rotate(quat, link.pos)
            x, y, z = x + dx, y + dy, z + dz
            quat = multiply(multiply(quat, link.quat), _hinge(link, q))
        return (x, y, z), quat

    def gyro(self, gyro_b: Vector, q: Array, dq: Array) -> Vector:
        """Angular velocity of the body in its own frame [rad/s], from the root's in the root frame."""
        spin = gyro_b
        for link in self._links:
            spin = rotate(conjugate(multiply(link.quat, _hinge(link, q))), spin)
            if link.joint >= 0:
                rate = float(dq[link.joint])
                spin = (spin[0] + rate * link.axis[0], spin[1] + rate * link.axis[1], spin[2] + rate * link.axis[2])
        return spin

    def point(
        self, root_pos: Vector, root_quat: Quat, velocity: Vector, spin: Vector, q: Array, dq: Array, offset: Vector
    ) -> tuple[Vector, Vector]:
        """Position [m] and velocity [m/s] of a point of the body; root velocities in the world [m/s, rad/s]."""
        at, quat = root_pos, root_quat
        for link in self._links:
            at, velocity = _carried(at, velocity, spin, rotate(quat, link.pos))
            quat = multiply(multiply(quat, link.quat), _hinge(link, q))
            if link.joint >= 0:
                a, b, c = rotate(quat, link.axis)
                rate = float(dq[link.joint])
                spin = (spin[0] + rate * a, spin[1] + rate * b, spin[2] + rate * c)
        return _carried(at, velocity, spin, rotate(quat, offset))

    def root_of(self, pos: Vector, quat: Quat, q: Array) -> tuple[Vector, Quat]:
        """Pose of the root that puts the body at `pos` and `quat`."""
        inner_pos, inner_quat = self.pose((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), q)
        root_quat = multiply(quat, conjugate(inner_quat))
        dx, dy, dz = rotate(root_quat, inner_pos)
        return (pos[0] - dx, pos[1] - dy, pos[2] - dz), root_quat


def _carried(at: Vector, velocity: Vector, spin: Vector, way: Vector) -> tuple[Vector, Vector]:
    """The end of a rigid `way` that starts at `at`: position, and velocity v + spin x way."""
    (x, y, z), (u, v, w), (a, b, c), (dx, dy, dz) = at, velocity, spin, way
    return (x + dx, y + dy, z + dz), (u + b * dz - c * dy, v + c * dx - a * dz, w + a * dy - b * dx)


def _hinge(link: _Link, q: Array) -> Quat:
    if link.joint < 0:
        return (1.0, 0.0, 0.0, 0.0)
    half = 0.5 * float(q[link.joint])
    sine = math.sin(half)
    return (math.cos(half), sine * link.axis[0], sine * link.axis[1], sine * link.axis[2])


@functools.lru_cache(maxsize=64)
def _links(mjcf: Path, body: str, root: str, joints: tuple[str, ...], robot: str) -> tuple[_Link, ...]:
    """Links below the root down to `body`."""
    import mujoco  # policies that read the pelvis alone run without it

    mj = _compiled(mjcf)
    at = mujoco.mj_name2id(mj, mujoco.mjtObj.mjOBJ_BODY, body)
    names = [mujoco.mj_id2name(mj, mujoco.mjtObj.mjOBJ_BODY, i) for i in range(1, mj.nbody)]
    if at < 0:
        raise NoBody(robot, body, names)
    links: list[_Link] = []
    while names[at - 1] != root:
        if at == 0:
            raise NoBody(robot, body, names)
        joint, axis = -1, (0.0, 0.0, 0.0)
        if mj.body_jntnum[at]:
            first = int(mj.body_jntadr[at])
            joint = joints.index(mujoco.mj_id2name(mj, mujoco.mjtObj.mjOBJ_JOINT, first))
            axis = _vector(mj.jnt_axis[first])
            if mj.jnt_pos[first].any():
                raise NoBody(robot, f"{body} (its joint {joints[joint]} is not at the origin of its link)", names)
        w, x, y, z = map(float, mj.body_quat[at])
        links.append(_Link(_vector(mj.body_pos[at]), (w, x, y, z), axis, joint))
        at = int(mj.body_parentid[at])
    return tuple(reversed(links))


def _vector(values: Any) -> Vector:
    x, y, z = map(float, values)
    return (x, y, z)


@functools.lru_cache(maxsize=8)
def _compiled(mjcf: Path) -> Any:
    import mujoco

    return mujoco.MjModel.from_xml_path(str(mjcf))


@functools.lru_cache(maxsize=8)
def armature_of(mjcf: Path) -> dict[str, float]:
    """Joint -> reflected rotor inertia in a robot's MJCF [kg m^2]."""
    import mujoco

    mj = _compiled(mjcf)
    return {
        mujoco.mj_id2name(mj, mujoco.mjtObj.mjOBJ_JOINT, i): float(mj.dof_armature[mj.jnt_dofadr[i]])
        for i in range(mj.njnt)
    }
