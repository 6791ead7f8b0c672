"""The few rotations the reference guard needs: quaternions wxyz, rotation vectors and angles in rad, world frame."""

from __future__ import annotations

import math

import numpy as np

from teleopd.robots.model import Array

IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])


def unit(quat: Array) -> Array:
    """`quat` at length 1."""
    return quat / math.sqrt(float(quat @ quat))


def multiply(a: Array, b: Array) -> Array:
    """Rotation b, then a."""
    aw, ax, ay, az = a.tolist()
    bw, bx, by, bz = b.tolist()
    return np.array([
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ])  # fmt: skip


def of_yaw(yaw: float) -> Array:
    """Rotation about the vertical."""
    return np.array([math.cos(yaw / 2.0), 0.0, 0.0, math.sin(yaw / 2.0)])


def yaw_of(quat: Array) -> float:
    """Heading: twist about the vertical, which stays defined when the body leans."""
    w, _, _, z = quat.tolist()
    return 2.0 * math.atan2(z, w) if w or z else 0.0


def roll_pitch(quat: Array) -> Array:
    """Roll and pitch (2,) of the z-y-x convention; the heading does not enter."""
    w, x, y, z = unit(quat).tolist()
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    return np.array([roll, pitch])


def rotation_between(start: Array, end: Array) -> Array:
    """World rotation vector (3,) that leads from one orientation to another the shorter way."""
    conjugate = start * np.array([1.0, -1.0, -1.0, -1.0])
    w, *v = multiply(end, conjugate).tolist()
    if w < 0.0:
        w, v = -w, [-value for value in v]
    sine = math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
    angle = 2.0 * math.atan2(sine, w)
    return np.array(v) * (angle / sine if sine > 1e-12 else 2.0)


def turned(quat: Array, rotation: Array) -> Array:
    """`quat` turned by a world rotation vector (3,)."""
    angle = math.sqrt(float(rotation @ rotation))
    if angle < 1e-12:
        return quat.copy()
    turn = np.concatenate([[math.cos(angle / 2.0)], rotation * (math.sin(angle / 2.0) / angle)])
    return unit(multiply(turn, quat))


def limit_tilt(quat: Array, largest: float) -> Array:
    """The same heading with a lean of at most `largest`."""
    heading = of_yaw(yaw_of(quat))
    lean = rotation_between(heading, quat)
    if float(lean @ lean) <= largest**2:
        return quat
    return turned(heading, shortened(lean, largest))


def turn_xy(xy: Array, yaw: float) -> Array:
    """A horizontal vector (2,) turned about the vertical."""
    c, s = math.cos(yaw), math.sin(yaw)
    x, y = xy.tolist()
    return np.array([c * x - s * y, s * x + c * y])


def shortened(vector: Array, longest: float) -> Array:
    """`vector` at no more than that length."""
    length = math.sqrt(float(vector @ vector))
    return vector.copy() if length <= longest else vector * (longest / length)


def smoothstep(share: float) -> tuple[float, float]:
    """3 x^2 - 2 x^3 clamped to [0, 1], and its slope."""
    if not 0.0 < share < 1.0:
        return (0.0, 0.0) if share <= 0.0 else (1.0, 0.0)
    return share * share * (3.0 - 2.0 * share), 6.0 * share * (1.0 - share)
