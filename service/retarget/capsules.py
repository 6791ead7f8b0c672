"""Distances between the axes of capsules, on plain floats; numba compiles the same functions (`compiled/`).

Nearly parallel capsules touch along a line, not at a point. The closest point of parallel axes jumps from one end of
their overlap to the other with the slightest turn, and a hand held away from there rocks (measured: hand along the
thigh, wrist yaw 0.6 degrees at 30 Hz). Both ends of the overlap are smooth: they are the two nearest of the four ends
to the other capsule's axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]
Facing = tuple[float, Point, Point]
"""Distance [m], point on the first axis, point on the second."""
ALIGNED = 1e-12
"""Squared sine between axes below which they are taken as parallel."""


def closest(centre_a: Point, axis_a: Point, half_a: float, centre_b: Point, axis_b: Point, half_b: float) -> Facing:
    """Where two segments are nearest; Ericson, Real-Time Collision Detection, 5.1.9.

    Written out, as it is asked a dozen times a frame: calls and indices cost as much again.
    """
    ax, ay, az = centre_a
    bx, by, bz = centre_b
    ux, uy, uz = axis_a
    vx, vy, vz = axis_b
    x, y, z = ax - bx, ay - by, az - bz
    cosine, on_a, on_b = ux * vx + uy * vy + uz * vz, ux * x + uy * y + uz * z, vx * x + vy * y + vz * z
    squared_sine = 1.0 - cosine * cosine
    s = (cosine * on_b - on_a) / squared_sine if squared_sine > ALIGNED else -on_a
    s = -half_a if s < -half_a else half_a if s > half_a else s
    t = cosine * s + on_b
    if t < -half_b or t > half_b:
        t = -half_b if t < -half_b else half_b
        s = cosine * t - on_a
        s = -half_a if s < -half_a else half_a if s > half_a else s
    ax, ay, az, bx, by, bz = ax + s * ux, ay + s * uy, az + s * uz, bx + t * vx, by + t * vy, bz + t * vz
    x, y, z = ax - bx, ay - by, az - bz
    return math.sqrt(x * x + y * y + z * z), (ax, ay, az), (bx, by, bz)


def overlap_ends(
    centre_a: Point, axis_a: Point, half_a: float, centre_b: Point, axis_b: Point, half_b: float
) -> tuple[Facing, Facing]:
    """Both ends of the stretch along which two nearly parallel segments face each other, the nearer first."""
    ax, ay, az = centre_a
    bx, by, bz = centre_b
    ux, uy, uz = axis_a
    vx, vy, vz = axis_b
    x, y, z = bx - ax, by - ay, bz - az
    cosine, on_a, on_b = ux * vx + uy * vy + uz * vz, ux * x + uy * y + uz * z, vx * x + vy * y + vz * z
    first = second = (math.inf, 0.0, 0.0)
    for k in range(4):  # each end, and how far along the other axis its nearest point lies
        if k < 2:
            s = half_a if k else -half_a
            t = s * cosine - on_b
            t = -half_b if t < -half_b else half_b if t > half_b else t
        else:
            t = half_b if k == 3 else -half_b
            s = t * cosine + on_a
            s = -half_a if s < -half_a else half_a if s > half_a else s
        squared = s * s + t * t + 2.0 * (t * on_b - s * on_a - s * t * cosine)  # less that of the centres
        if squared < first[0]:
            first, second = (squared, s, t), first
        elif squared < second[0]:
            second = (squared, s, t)
    return (
        facing_at(centre_a, axis_a, first[1], centre_b, axis_b, first[2]),
        facing_at(centre_a, axis_a, second[1], centre_b, axis_b, second[2]),
    )


def facing_at(centre_a: Point, axis_a: Point, s: float, centre_b: Point, axis_b: Point, t: float) -> Facing:
    """The points `s` and `t` along the axes [m]."""
    ax, ay, az = centre_a[0] + s * axis_a[0], centre_a[1] + s * axis_a[1], centre_a[2] + s * axis_a[2]
    bx, by, bz = centre_b[0] + t * axis_b[0], centre_b[1] + t * axis_b[1], centre_b[2] + t * axis_b[2]
    x, y, z = bx - ax, by - ay, bz - az
    return math.sqrt(x * x + y * y + z * z), (ax, ay, az), (bx, by, bz)
