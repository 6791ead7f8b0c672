"""Rotations on stacks of frames: quaternions wxyz over any leading shape, matrices (..., 3, 3); active."""

from __future__ import annotations

import numpy as np

from teleopd.drivers.human_pose import Array

IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])


def multiply(a: Array, b: Array) -> Array:
    """Hamilton product a * b (b first, then a), wxyz, broadcasting."""
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return np.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        axis=-1,
    )


def conjugate(q: Array) -> Array:
    """Inverse of a unit quaternion."""
    inverse: Array = q * np.array([1.0, -1.0, -1.0, -1.0])
    return inverse


def rotate(q: Array, v: Array) -> Array:
    """Vector v turned by unit quaternion q, broadcasting over leading axes."""
    t = 2.0 * np.cross(q[..., 1:], v)
    turned: Array = v + q[..., :1] * t + np.cross(q[..., 1:], t)
    return turned


def about(axis: int, angle_rad: Array | float) -> Array:
    """Rotation about one world axis (0 x, 1 y, 2 z) by `angle_rad` [rad]; shape of the angle + (4,)."""
    half = np.asarray(angle_rad, dtype=np.float64) / 2.0
    q = np.zeros((*half.shape, 4))
    q[..., 0] = np.cos(half)
    q[..., 1 + axis] = np.sin(half)
    return q


def from_matrix(m: Array) -> Array:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3), w >= 0; from the largest row of q q^T."""
    m = np.asarray(m, dtype=np.float64)
    k = np.empty((*m.shape[:-2], 4, 4))
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    k[..., 0, 0] = 1.0 + trace
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        k[..., 1 + i, 1 + i] = 1.0 - trace + 2.0 * m[..., i, i]
        k[..., 0, 1 + i] = k[..., 1 + i, 0] = m[..., b, a] - m[..., a, b]
        k[..., 1 + a, 1 + b] = k[..., 1 + b, 1 + a] = m[..., a, b] + m[..., b, a]
    best = np.argmax(np.diagonal(k, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(k, best[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    positive: Array = np.where(q[..., :1] < 0.0, -q, q)
    return positive


def from_axes(forward: Array, up: Array, *, keep: str) -> Array:
    """Quaternions (..., 4) of the frames whose X is `forward` and Z is `up`; the one named by `keep` stays exact.

    Raises ValueError where the two are parallel.
    """
    x, z = np.asarray(forward, dtype=np.float64), np.asarray(up, dtype=np.float64)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    y = np.cross(z, x)
    norm = np.linalg.norm(y, axis=-1, keepdims=True)
    if not (norm > 1e-6).all():
        raise ValueError("forward and up are parallel")
    y = y / norm
    if keep == "up":
        x = np.cross(y, z)
    else:
        z = np.cross(x, y)
    return from_matrix(np.stack((x, y, z), axis=-1))


def slerp(a: Array, b: Array, s: Array | float) -> Array:
    """Shortest-way interpolation from a (s = 0) to b (s = 1), broadcasting s against the leading axes."""
    w = np.asarray(s, dtype=np.float64)[..., None]
    dot = np.sum(a * b, axis=-1, keepdims=True)
    b = np.where(dot < 0.0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    small = sine < 1e-6
    safe = np.where(small, 1.0, sine)
    wa = np.where(small, 1.0 - w, np.sin((1.0 - w) * angle) / safe)
    wb = np.where(small, w, np.sin(w * angle) / safe)
    q = wa * a + wb * b
    unit: Array = q / np.linalg.norm(q, axis=-1, keepdims=True)
    return unit


def continuous(q: Array) -> Array:
    """The same rotations with signs chosen so that consecutive frames (axis 0) never flip hemisphere."""
    if len(q) < 2:
        return q
    flips = np.where(np.sum(q[1:] * q[:-1], axis=-1) < 0.0, -1.0, 1.0)
    signs = np.concatenate((np.ones((1, *flips.shape[1:])), np.cumprod(flips, axis=0)))
    unflipped: Array = q * signs[..., None]
    return unflipped


def heading(q: Array) -> Array:
    """Angle of the turned X axis about world Z [rad]."""
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    yaw: Array = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return yaw
