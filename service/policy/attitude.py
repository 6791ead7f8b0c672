"""Orientation arithmetic of observations, on plain floats: ten times quicker than numpy for single vectors.

Quaternions are unit, wxyz, body in world.
"""

from __future__ import annotations

import math

from teleopd.robots.model import Array

Vector = tuple[float, float, float]
Quat = tuple[float, float, float, float]


def roll_pitch(quat_w: Array) -> tuple[float, float]:
    """Roll and pitch [rad] of the yaw-pitch-roll sequence.

    roll = atan2(2(wx + yz), 1 - 2(x^2 + y^2)), pitch = asin(clip(2(wy - zx), -1, 1)).
    """
    w, x, y, z = quat_w.tolist()
    sine = 2.0 * (w * y - z * x)
    # NaN must survive the clip, so that a broken orientation is seen downstream.
    bounded = 1.0 if sine > 1.0 else -1.0 if sine < -1.0 else sine
    return math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)), math.asin(bounded)


def rotate_inverse(quat_w: Array, vector_w: Array) -> Vector:
    """A world vector in the body frame: v - 2w(u x v) + 2u x (u x v), with q = (w, u)."""
    w, x, y, z = quat_w.tolist()
    a, b, c = vector_w.tolist()
    p, q, r = y * c - z * b, z * a - x * c, x * b - y * a
    return (
        a - 2.0 * (w * p - y * r + z * q),
        b - 2.0 * (w * q - z * p + x * r),
        c - 2.0 * (w * r - x * q + y * p),
    )


def rotate_heading_inverse(quat_w: Array, vector_w: Array) -> Vector:
    """A world vector in the frame that shares the body's yaw and is level."""
    w, x, y, z = quat_w.tolist()
    a, b, c = vector_w.tolist()
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return cosine * a + sine * b, cosine * b - sine * a, c


def multiply(one: Quat, two: Quat) -> Quat:
    """Product of two quaternions: first `two`, then `one`."""
    w, x, y, z = one
    a, b, c, d = two
    return (
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    )


def rotate(quat: Quat, vector: Vector) -> Vector:
    """A vector of the body frame in the world: v + 2w(u x v) + 2u x (u x v)."""
    w, x, y, z = quat
    a, b, c = vector
    p, q, r = y * c - z * b, z * a - x * c, x * b - y * a
    return (
        a + 2.0 * (w * p + y * r - z * q),
        b + 2.0 * (w * q + z * p - x * r),
        c + 2.0 * (w * r + x * q - y * p),
    )


def yaw_of(quat: Quat) -> float:
    """Heading [rad] of the yaw-pitch-roll sequence."""
    w, x, y, z = quat
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def of_yaw(yaw: float) -> Quat:
    """Rotation about the vertical [rad]."""
    return (math.cos(0.5 * yaw), 0.0, 0.0, math.sin(0.5 * yaw))


def conjugate(quat: Quat) -> Quat:
    """The inverse of a unit quaternion."""
    return (quat[0], -quat[1], -quat[2], -quat[3])


def two_columns(quat: Quat) -> tuple[float, float, float, float, float, float]:
    """First two columns of the rotation matrix, row by row: r00, r01, r10, r11, r20, r21."""
    w, x, y, z = quat
    return (
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z),
        2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z),
        2.0 * (x * z - w * y), 2.0 * (y * z + w * x),
    )  # fmt: skip
