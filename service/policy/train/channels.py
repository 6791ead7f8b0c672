"""The 35 numbers a tracker is commanded with at 50 Hz, and how a robot motion becomes a track of them.

Channels: velocity x, y of the root in its own frame [m/s], height [m], roll, pitch [rad], yaw rate in its own frame
[rad/s], then the 29 joint positions in motor order [rad] (policy.md 2.2, the TWIST2 command).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL

RATE_HZ = 50.0
"""Policy rate [Hz]."""
DT_S = 1.0 / RATE_HZ
N = MODEL.n
VX, VY, Z, ROLL, PITCH, WZ = range(6)
JOINTS = slice(6, 6 + N)
WIDTH = 6 + N
LEGS, WAIST, ARMS = slice(6, 18), slice(18, 21), slice(21, 35)
"""Channels of the joint groups; motor order is left leg, right leg, waist, left arm, right arm."""
LEFT_ARM, RIGHT_ARM = slice(21, 28), slice(28, 35)
WINDOW_TICKS = 2
"""Velocities are differences over two ticks: the 33 ms window of the running service, rounded to ticks."""
Float32 = npt.NDArray[np.float32]

_MIRROR_SIGN = {"roll": -1.0, "yaw": -1.0, "pitch": 1.0, "knee": 1.0, "elbow": 1.0}


class Clip(NamedTuple):
    """A motion as channels at 50 Hz."""

    name: str
    channels: Array
    """(T, 35)"""


def _mirror_tables() -> tuple[npt.NDArray[np.intp], Array]:
    """Where each channel of the mirrored motion comes from, and its sign."""
    source, sign = np.arange(WIDTH), np.ones(WIDTH)
    sign[[VY, ROLL, WZ]] = -1.0
    for i, name in enumerate(MODEL.joint_names):
        swapped = name.replace("left_", "\0").replace("right_", "left_").replace("\0", "right_")
        source[6 + i] = 6 + MODEL.joint_names.index(swapped)
        sign[6 + i] = _MIRROR_SIGN[name.removesuffix("_joint").rpartition("_")[2]]
    return source, sign


_MIRROR_SOURCE, _MIRROR_FACTOR = _mirror_tables()


def mirrored(channels: Array) -> Array:
    """The same motion seen in a mirror: left and right exchanged, (..., 35)."""
    out: Array = channels[..., _MIRROR_SOURCE] * _MIRROR_FACTOR
    return out


def stand(z: float = MODEL.stand_height_m) -> Array:
    """Channels of standing in the stand pose, (35,)."""
    out = np.zeros(WIDTH)
    out[Z], out[JOINTS] = z, MODEL.q_stand
    return out


def roll_pitch(quat: Array) -> tuple[Array, Array]:
    """Roll and pitch [rad] of quaternions (..., 4) wxyz, of the yaw-pitch-roll sequence."""
    w, x, y, z = np.moveaxis(quat, -1, 0)
    roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    return roll, np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0))


def quaternion(roll: Array, pitch: Array, yaw: Array) -> Array:
    """wxyz quaternions (..., 4) of the yaw-pitch-roll sequence [rad]."""
    cr, sr, cp, sp, cy, sy = (f(a / 2) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    return np.stack((
        cy * cp * cr + sy * sp * sr, cy * cp * sr - sy * sp * cr, cy * sp * cr + sy * cp * sr,
        sy * cp * cr - cy * sp * sr,
    ), axis=-1)  # fmt: skip


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product of wxyz quaternions, (..., 4)."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack((
        aw * bw - ax * bx - ay * by - az * bz, aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx, aw * bz + ax * by - ay * bx + az * bw,
    ), axis=-1)  # fmt: skip


def conjugate(a: Array) -> Array:
    """The inverse of unit quaternions, (..., 4)."""
    out: Array = a * np.array([1.0, -1.0, -1.0, -1.0])
    return out


def rotate(quat: Array, vector: Array) -> Array:
    """Body vectors (..., 3) in the world."""
    u, w = quat[..., 1:], quat[..., :1]
    t = 2.0 * np.cross(u, vector)
    out: Array = vector + w * t + np.cross(u, t)
    return out


def channels_of(qpos: Array) -> Array:
    """Channels (T, 35) of a robot motion at 50 Hz, (T, 36): root position, root wxyz, joints in motor order."""
    frames = len(qpos)
    pos, quat = qpos[:, :3], qpos[:, 3:7]
    now = np.arange(frames)
    then = np.maximum(now - WINDOW_TICKS, 0)
    span = np.maximum(now - then, 1)[:, None] * DT_S
    turned = multiply(conjugate(quat[then]), quat)  # in the body frame
    turned = np.where(turned[:, :1] < 0.0, -turned, turned)
    norm = np.linalg.norm(turned[:, 1:], axis=1, keepdims=True)
    angle = 2.0 * np.arctan2(norm, turned[:, :1])
    omega = turned[:, 1:] * np.where(norm > 1e-9, angle / np.maximum(norm, 1e-9), 2.0) / span
    out = np.empty((frames, WIDTH))
    out[:, [VX, VY]] = rotate(conjugate(quat), (pos - pos[then]) / span)[:, :2]
    out[:, Z] = pos[:, 2]
    out[:, ROLL], out[:, PITCH] = roll_pitch(quat)
    out[:, WZ] = omega[:, 2]
    out[:, JOINTS] = qpos[:, 7:]
    if frames > WINDOW_TICKS:
        out[:WINDOW_TICKS, [VX, VY, WZ]] = out[WINDOW_TICKS, [VX, VY, WZ]]
    return out
