"""Forward kinematics and Jacobians of a tree of bodies, compiled; the numbers are MuJoCo's to rounding.

Results are written into the arrays of an `mjData`, so that whoever reads them need not know which path filled them.
"""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np

from teleopd.service.retarget.compiled.jit import compiled
from teleopd.service.retarget.compiled.parts import Place, Tree
from teleopd.service.retarget.kinematics import Kinematics


def tree_of(kinematics: Kinematics) -> Tree:
    """The constants of a reduced model.

    Raises:
        ValueError: a body has more than one joint, or a joint that is no hinge.
    """
    m = kinematics.model
    joint = np.full(m.nbody, -1, dtype=np.intp)
    for j in range(1, m.njnt):
        body = int(m.jnt_bodyid[j])
        if joint[body] >= 0 or m.jnt_type[j] != mujoco.mjtJoint.mjJNT_HINGE:
            raise ValueError(f"{kinematics.robot.mjcf}: body '{m.body(body).name}' must have one hinge at most")
        joint[body] = j
    chains: list[list[int]] = [[]]
    for body in range(1, m.nbody):
        own = [int(m.jnt_dofadr[joint[body]])] if joint[body] >= 0 else []
        chains.append([*chains[m.body_parentid[body]], *(range(6) if body == m.jnt_bodyid[0] else own)])
    starts = np.cumsum([0, *(len(chain) for chain in chains)])
    zero = np.array([0.0, *(m.qpos0[m.jnt_qposadr[j]] for j in range(1, m.njnt))])
    index = np.intp
    return Tree(
        m.body_parentid.astype(index), np.array(m.body_pos), np.array(m.body_quat), joint, np.array(m.jnt_pos),
        np.array(m.jnt_axis), zero, m.jnt_qposadr.astype(index), m.jnt_dofadr.astype(index), starts.astype(index),
        np.array([dof for chain in chains for dof in chain], dtype=index), m.geom_bodyid.astype(index),
        np.array(m.geom_pos), np.array(m.geom_quat),
    )  # fmt: skip


def place_of(kinematics: Kinematics, data: Any) -> Place:
    """Views of `data`."""
    nv = kinematics.model.nv
    return Place(
        data.xpos, data.xquat, data.xmat, data.geom_xpos, data.geom_xmat, np.zeros((nv, 3)), np.zeros((nv, 3))
    )  # fmt: skip


@compiled
def multiply(a: Any, b: Any) -> Any:
    """Hamilton product a * b of quaternions wxyz."""
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


@compiled
def rotate(q: Any, v: Any) -> Any:
    """v turned by the unit quaternion q."""
    w, x, y, z = q[0], q[1], q[2], q[3]
    tx, ty, tz = 2.0 * (y * v[2] - z * v[1]), 2.0 * (z * v[0] - x * v[2]), 2.0 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


@compiled
def write_matrix(q: Any, out: Any) -> None:
    """Rotation matrix of a unit quaternion, row by row, into (9,)."""
    w, x, y, z = q[0], q[1], q[2], q[3]
    out[0], out[1], out[2] = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
    out[3], out[4], out[5] = 2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
    out[6], out[7], out[8] = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)


@compiled
def normalised(q: Any) -> Any:
    """A quaternion of length 1."""
    k = 1.0 / math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return q[0] * k, q[1] * k, q[2] * k, q[3] * k


@compiled
def forward(tree: Any, qpos: Any, place: Any) -> None:
    """Everything in `place` at `qpos`, which has the root's position, its orientation wxyz and the hinges."""
    axis, anchor = place.axis, place.anchor
    for body in range(1, len(tree.parent)):
        up, joint = tree.parent[body], tree.joint[body]
        if body == 1:
            at = (qpos[0], qpos[1], qpos[2])
            turn = normalised((qpos[3], qpos[4], qpos[5], qpos[6]))
        else:
            turn = multiply(place.xquat[up], tree.quat[body])
            off = rotate(place.xquat[up], tree.pos[body])
            at = (place.xpos[up, 0] + off[0], place.xpos[up, 1] + off[1], place.xpos[up, 2] + off[2])
        if joint > 0:
            at, turn = _hinge(tree, joint, qpos[tree.joint_qpos[joint]], at, turn, axis, anchor)
            turn = normalised(turn)
        place.xpos[body, 0], place.xpos[body, 1], place.xpos[body, 2] = at
        place.xquat[body, 0], place.xquat[body, 1], place.xquat[body, 2], place.xquat[body, 3] = turn
        write_matrix(turn, place.xmat[body])
    for i in range(3):  # a free joint turns about its body's own axes
        for k in range(3):
            axis[3 + i, k] = place.xmat[1, 3 * k + i]
            anchor[3 + i, k] = place.xpos[1, k]
    for geom in range(len(tree.geom_body)):
        body = tree.geom_body[geom]
        off = rotate(place.xquat[body], tree.geom_pos[geom])
        for k in range(3):
            place.geom_xpos[geom, k] = place.xpos[body, k] + off[k]
        write_matrix(multiply(place.xquat[body], tree.geom_quat[geom]), place.geom_xmat[geom])


@compiled
def _hinge(tree: Any, joint: int, angle: float, at: Any, turn: Any, axis: Any, anchor: Any) -> Any:
    """Position and orientation of a body after its hinge."""
    off = rotate(turn, tree.joint_pos[joint])
    x, y, z = at[0] + off[0], at[1] + off[1], at[2] + off[2]
    along, dof = rotate(turn, tree.joint_axis[joint]), tree.joint_dof[joint]
    axis[dof, 0], axis[dof, 1], axis[dof, 2] = along
    anchor[dof, 0], anchor[dof, 1], anchor[dof, 2] = x, y, z
    half = 0.5 * (angle - tree.joint_zero[joint])
    s, own = math.sin(half), tree.joint_axis[joint]
    turn = multiply(turn, (math.cos(half), own[0] * s, own[1] * s, own[2] * s))
    off = rotate(turn, tree.joint_pos[joint])
    return (x - off[0], y - off[1], z - off[2]), turn


@compiled
def moves(place: Any, dof: int, x: float, y: float, z: float) -> Any:
    """Velocity that degree of freedom `dof` at rate 1 gives to a point it moves."""
    if dof < 3:
        return 1.0 if dof == 0 else 0.0, 1.0 if dof == 1 else 0.0, 1.0 if dof == 2 else 0.0
    a, p = place.axis[dof], place.anchor[dof]
    x, y, z = x - p[0], y - p[1], z - p[2]
    return a[1] * z - a[2] * y, a[2] * x - a[0] * z, a[0] * y - a[1] * x


@compiled
def integrate(tree: Any, qpos: Any, step: Any) -> None:
    """Move `qpos` by `step` (nv,) in place; the root turns in its own frame."""
    for i in range(3):
        qpos[i] += step[i]
    x, y, z = step[3], step[4], step[5]
    angle = math.sqrt(x * x + y * y + z * z)
    k = math.sin(0.5 * angle) / angle if angle > 1e-15 else 0.5
    turn = multiply((qpos[3], qpos[4], qpos[5], qpos[6]), (math.cos(0.5 * angle), k * x, k * y, k * z))
    qpos[3], qpos[4], qpos[5], qpos[6] = normalised(turn)
    for joint in range(1, len(tree.joint_dof)):
        qpos[tree.joint_qpos[joint]] += step[tree.joint_dof[joint]]
