"""Quaternions wxyz on small stacks, as the retargeter needs them."""

from __future__ import annotations

import math

import numpy as np

from teleopd.robots.model import Array

CONJUGATE: Array = np.array([1.0, -1.0, -1.0, -1.0])


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product a * b over the last axis, broadcasting; (..., 4)."""
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = aw * bw - ax * bx - ay * by - az * bz
    out[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    out[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    out[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return out


def rotate(q: Array, v: Array) -> Array:
    """v turned by the unit quaternion q, both with leading axes (..., 4) and (..., 3)."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    vx, vy, vz = v[..., 0], v[..., 1], v[..., 2]
    tx, ty, tz = 2.0 * (y * vz - z * vy), 2.0 * (z * vx - x * vz), 2.0 * (x * vy - y * vx)
    out = np.empty(np.broadcast_shapes(q.shape[:-1], v.shape[:-1]) + (3,))
    out[..., 0] = vx + w * tx + y * tz - z * ty
    out[..., 1] = vy + w * ty + z * tx - x * tz
    out[..., 2] = vz + w * tz + x * ty - y * tx
    return out


def yaw(q: Array) -> float:
    """Heading of one orientation [rad]: of its X axis, or where that is near vertical, of its Y axis less 90 deg."""
    w, x, y, z = (float(c) for c in q)
    if abs(2.0 * (x * z - w * y)) < 0.94:
        return math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    return math.atan2(1.0 - 2.0 * (x * x + z * z), 2.0 * (x * y - w * z)) - math.pi / 2.0


def about_z(angle_rad: float) -> Array:
    """Turn about the world's Z, (4,)."""
    return np.array([math.cos(angle_rad / 2.0), 0.0, 0.0, math.sin(angle_rad / 2.0)])


def product_matrix(left: Array, right: Array) -> Array:
    """The matrix M of q -> left * q * right, so that a stack of products is one matrix product; (4, 4)."""
    return np.array([multiply(multiply(left, e), right) for e in np.eye(4)]).T


def rotation_matrix_of(v: Array, after: Array) -> Array:
    """The matrix M with M vec(q q^T) = v turned by q, then by `after`; vec is row by row; (3, 16)."""
    m = np.zeros((3, 4, 4))
    for i in range(4):
        for j in range(4):  # q v q* is bilinear in (q, q*)
            m[:, i, j] = multiply(multiply(np.eye(4)[i], np.array([0.0, *v])), np.eye(4)[j] * CONJUGATE)[1:]
    return rotate(np.tile(after, (16, 1)), m.reshape(3, 16).T).T
