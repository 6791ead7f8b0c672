"""The H1's and the H1-2's IMU sits in the torso: its readings are turned through the torso joint, to and fro.

Both torsos turn against the pelvis about one vertical axis, and both IMUs stand square to the torso. The lever arm is
left out: the specific force is that at the torso's IMU, in the axes of the pelvis.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

from teleopd.robots.model import Array, RobotModel

TORSO_IMU = MappingProxyType({"unitree_h1": "torso_joint", "unitree_h1_2": "torso_joint"})
"""Robot -> the joint between its pelvis and the IMU in LowState, for robots whose IMU is not in the pelvis.

Source: unitree_rl_gym deploy_real, `imu_type: torso` of h1.yaml and h1_2.yaml; axis 0 0 1 in both URDFs.
"""


def torso_joint_of(model: RobotModel) -> int | None:
    """Motor index of the joint below the IMU, or None where the IMU sits in the pelvis."""
    name = TORSO_IMU.get(model.name)
    return None if name is None else model.joint_names.index(name)


def torso_to_pelvis(quat: Array, gyro: Array, accel: Array, q: float, dq: float) -> tuple[Array, Array, Array]:
    """Readings in the torso -> in the pelvis: orientation wxyz (4,), rates [rad/s] (3,), specific force (3,).

    `q` [rad] and `dq` [rad/s] are the torso joint's.
    """
    rate = about_z(gyro, q)
    rate[2] -= dq
    return turned(quat, -q), rate, about_z(accel, q)


def pelvis_to_torso(quat: Array, gyro: Array, accel: Array, q: float, dq: float) -> tuple[Array, Array, Array]:
    """The inverse of `torso_to_pelvis`: what the IMU of a virtual H1 shows."""
    rate = about_z(np.array([gyro[0], gyro[1], gyro[2] + dq]), -q)
    return turned(quat, q), rate, about_z(accel, -q)


def about_z(v: Array, angle: float) -> Array:
    """`v` (3,) turned about z by `angle` [rad]."""
    c, s = math.cos(angle), math.sin(angle)
    x, y, z = v.tolist()
    return np.array([c * x - s * y, s * x + c * y, z])


def turned(quat: Array, angle: float) -> Array:
    """`quat` wxyz followed by a turn of `angle` [rad] about its own z axis."""
    c, s = math.cos(0.5 * angle), math.sin(0.5 * angle)
    w, x, y, z = quat.tolist()
    return np.array([w * c - z * s, x * c + y * s, y * c - x * s, z * c + w * s])
